"""Opens a bundle's ONNX graphs in onnxruntime: on the provider that was asked for, with weights of the bundle alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hyt.errors import BundleError, HytError, InputError, MissingDependencyError
from hyt.runtime.backends.onnx_file import check_model_file

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""onnxruntime's names of a provider and of those that take what it leaves."""
MOST_THREADS = 512
_USUAL_THREADS = 8


@dataclass(frozen=True)
class Value:
    """Shape and type of an input or output; a length is an int, one that is open a text or None."""

    shape: list[Any]
    type: str


@dataclass(frozen=True)
class Opened:
    """A graph that onnxruntime has opened, and its inputs and outputs by name."""

    session: Any
    inputs: dict[str, Value]
    outputs: dict[str, Value]


class Sessions:
    """onnxruntime with one provider and number of threads; raises InputError for a provider that is not there.

    threads: 0 takes all physical cores but one, at most 8. activations: what INT4 as Q/DQ is multiplied with. Raises
    MissingDependencyError without onnxruntime.
    """

    def __init__(self, provider: str = "cpu", threads: int = 0, activations: str = "int8") -> None:
        if provider not in PROVIDERS:
            raise InputError("provider", expected=f"one of {', '.join(PROVIDERS)}", received=repr(provider))
        if not 0 <= threads <= MOST_THREADS:
            expected = f"0 (all physical cores but one) to {MOST_THREADS}"
            raise InputError("threads", expected=expected, received=str(threads))
        self._ort = import_onnxruntime()
        self.provider = provider
        self._accuracy_level = {"int8": "4", "float32": "1"}[activations]
        self.threads = threads or min(max(1, physical_cores() - 1), _USUAL_THREADS)
        there = self._ort.get_available_providers()
        if PROVIDERS[provider][0] not in there:
            known = [name for name, wanted in PROVIDERS.items() if wanted[0] in there]
            raise InputError(
                "provider",
                expected=f"one that this onnxruntime has ({', '.join(known)})",
                received=repr(provider),
                remedy="install onnxruntime-gpu, or on a Jetson the vendor's build",
            )

    @property
    def version(self) -> str:
        """onnxruntime's version."""
        return str(self._ort.__version__)

    @property
    def device(self) -> str:
        """Where the decoder's state lies: cpu or cuda."""
        return "cpu" if self.provider == "cpu" else "cuda"

    def open_as(
        self, path: Path, inputs: Mapping[str, int | None], outputs: Mapping[str, int | None], *, threads: int = 0
    ) -> Opened:
        """The same of a graph with these inputs and outputs by name, their last axis as long as stated."""
        opened = self.open(path, threads=threads)
        for found, wanted in ((opened.inputs, inputs), (opened.outputs, outputs)):
            lengths = {name: value.shape[-1] if value.shape else None for name, value in found.items()}
            if set(lengths) != set(wanted) or any(n not in (None, lengths[name]) for name, n in wanted.items()):
                raise BundleError(
                    str(path),
                    expected=f"inputs or outputs {dict(wanted)} (None: of any length)",
                    received=str(lengths)[:200],
                    remedy="export the checkpoint again",
                )
        return opened

    def open(self, path: Path, *, threads: int = 0, spinning: bool = False) -> Opened:
        """Open a graph; raises BundleError for one that is damaged or reads files of others.

        threads: 0 for all that this has. spinning: its threads wait busily for more work, for a while; of several
        graphs that run one after the other only one may, or they would take each other's cores.
        """
        check_model_file(path)
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = threads or self.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
        options.log_severity_level = 4  # what is wrong is raised, in one line
        # INT4 as Q/DQ is computed as MatMulNBits; in the other graphs that names its level itself.
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", self._accuracy_level)
        try:
            session = self._ort.InferenceSession(
                str(path), options, providers=list(PROVIDERS[self.provider]), enable_fallback=0
            )
            opened = Opened(session, _values(session.get_inputs()), _values(session.get_outputs()))
        except Exception as problem:  # onnxruntime's exceptions have no common base but this
            raise BundleError(
                str(path),
                expected="a graph that onnxruntime loads",
                received=one_line(problem),
                remedy="export the checkpoint again",
            ) from None
        # Where a provider's libraries do not load, onnxruntime goes on without it.
        if session.get_providers()[0] != PROVIDERS[self.provider][0]:
            raise HytError(
                f"provider {self.provider!r}",
                expected="onnxruntime to start it",
                received=f"{session.get_providers()[0]}",
                remedy="check that its libraries and driver are installed",
            )
        return opened

    def value(self, array: Any, device: str = "cpu") -> Any:
        """An OrtValue; on the CPU it shares the array's memory."""
        return self._ort.OrtValue.ortvalue_from_numpy(array, device, 0)


def _values(found: Sequence[Any]) -> dict[str, Value]:
    return {value.name: Value(list(value.shape), value.type) for value in found}


def import_onnxruntime() -> ModuleType:
    """The package; raises MissingDependencyError that names the extra."""
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingDependencyError(
            "onnxruntime", received=str(problem), remedy="install it with pip install 'hyt[onnx]'"
        ) from None
    module: ModuleType = onnxruntime
    return module


def one_line(problem: Exception) -> str:
    """What onnxruntime says, without the lines behind the first."""
    return str(problem).strip().splitlines()[0][:300] if str(problem).strip() else type(problem).__name__


def physical_cores() -> int:
    """Cores that this process may use, two threads of one counted once; without a topology each CPU is one."""
    allowed: Sequence[int] = sorted(os.sched_getaffinity(0))
    siblings = set()
    for cpu in allowed:
        try:
            siblings.add(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text())
        except OSError:
            siblings.add(str(cpu))
    return len(siblings)
