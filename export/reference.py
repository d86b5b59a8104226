"""The float policy beside the one that is being exported: it shows what goes into the matrices, and is the measure.

It stands as a bundle of its own in a scratch folder while the export lasts, and is in memory only while it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hyt.export.calibration import Calibration
from hyt.export.draft import Draft, Step, count_types
from hyt.export.gguf_writer import RounderFor, plainly
from hyt.export.inputs import GRAM_BYTES, Inputs
from hyt.export.parity import Answers, Parity, ask, compare
from hyt.export.quantization import Method, Request, method_of, rounder_for
from hyt.export.quantization.q4_0 import TYPE as GPTQ_TYPE
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.backends.onnx import OnnxBackend
from hyt.runtime.bundle import open_bundle
from hyt.runtime.bundle_writer import write_manifest
from hyt.runtime.manifest import Quantization
from hyt.runtime.policy import Policy

ENGINES: dict[str, type[CoreBackend] | type[OnnxBackend]] = {"core": CoreBackend, "onnx": OnnxBackend}
MOST_FLOAT32 = 1 << 30
"""Weights up to which the reference is float32; a larger model's is float16: half the disk and half the reading."""
MOST_COPIED = 1 << 28
"""Weights up to which the reference is in memory as a whole; a larger one is left in its files."""


class Reference:
    """The float bundle of a draft, written to `folder`. Raises CheckpointError for weights that float16 cannot hold."""

    def __init__(
        self, draft: Draft, folder: Path, calibration: Calibration, threads: int, on_step: Step | None = None
    ) -> None:
        self.draft = draft
        self.calibration = calibration
        self._threads = threads
        self._on_step = on_step
        self.answers: Answers | None = None  # of `answer`
        self._weights = sum(math.prod(plan.shape) for plan in draft.plans)
        self.type = "f32" if self._weights <= MOST_FLOAT32 else "f16"
        request = Request(self.type)
        files, choices = draft.files(request), draft.choose(request)
        draft.write(folder, files, choices, threads, on_step=on_step)
        quantization = Quantization(requested=self.type, types=count_types(files, choices))
        write_manifest(folder, draft.manifest(folder, quantization, "the float reference of an export"))
        self.bundle = open_bundle(folder)

    @contextmanager
    def rounders(self, method: Method) -> Iterator[RounderFor]:
        """Gives, while the block runs, the rounder of each tensor to a type, for `Draft.write`."""
        if method == "plain":
            yield plainly
            return
        backend = self.open(own_kernels=False)  # which tells of every product
        with Policy(backend.bundle, backend) as policy:
            inputs = Inputs(
                policy,
                backend,
                self.calibration.fit,
                [plan for plan in self.draft.plans if method_of(plan, GPTQ_TYPE, method) != "plain"],
                gram=lambda plan: method_of(plan, GPTQ_TYPE, method) == "gptq",
                memory=GRAM_BYTES,
                on_sample=self.counter("calibrating", len(self.calibration.fit)),
            )
            yield lambda plan, type: rounder_for(plan, type, method, inputs)

    def answer(self) -> Answers:
        """The float policy's answers to the held-out samples; it is asked once."""
        if self.answers is None:
            samples, core = self.calibration.held_out, self.open()
            with Policy(core.bundle, core) as policy:
                on_sample = self.counter(f"answers of {self.type}", len(samples))
                self.answers = ask(policy, samples, logits_of=core, on_sample=on_sample)
        return self.answers

    def judge(self, path: Path, backend: str) -> Parity:
        """Compare the bundle in `path`, run by one of our backends, on the held-out samples."""
        samples, expected = self.calibration.held_out, self.answer()
        on_sample = self.counter(f"answers of {backend}", len(samples))
        bundle = open_bundle(path)
        engine = ENGINES[backend](bundle, self._threads)
        with Policy(bundle, engine) as policy:
            answers = ask(policy, samples, logits_of=engine, reference=expected, on_sample=on_sample)
        quantization = bundle.manifest.quantization.requested
        return Parity(backend, quantization, compare(expected, answers, bundle.contract.action.dimensions))

    def open(self, *, own_kernels: bool = True) -> CoreBackend:
        """The float policy in the core, with the weights as they are in the folder now."""
        mapped = self._weights > MOST_COPIED
        return CoreBackend(self.bundle, self._threads, mapped=mapped, own_kernels=own_kernels, speculate="off")

    def counter(self, what: str, total: int) -> Callable[[], None]:
        """To be called `total` times, to tell how far the work is."""
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if self._on_step is not None:
                self._on_step(what, done, total)

        return count
