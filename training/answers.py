"""A policy's own answers to decisions of a dataset, which its heads are fitted to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hyt.dataset import Decision
from hyt.errors import DatasetError
from hyt.export.exporter import export_bundle
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy, load

Report = Callable[[dict[str, Any]], None]


@contextmanager
def exported(checkpoint: Path, quantization: str, threads: int) -> Iterator[Policy]:
    """The checkpoint as it will run: exported to a bundle that is gone again afterwards, and loaded."""
    with tempfile.TemporaryDirectory(prefix="hyt-answers-") as scratch:
        bundle = Path(scratch) / "policy.hyt"
        export_bundle(checkpoint, bundle, quantization=quantization, threads=threads)
        with load(bundle, threads=threads) as policy:
            yield policy


def asked(
    policy: Policy, decisions: Sequence[Decision], most: int, head: str, report: Report
) -> Iterator[tuple[Decision, Observation]]:
    """At most `most` decisions, spread evenly over the dataset, with the policy under the instruction of each.

    Raises DatasetError, about `head`, where there is none.
    """
    count = min(most, len(decisions))
    if count == 0:
        raise DatasetError(head, expected="at least one decision", received="none")
    for number, index in enumerate(np.linspace(0, len(decisions) - 1, count).astype(int)):
        decision = decisions[int(index)]
        if policy.instruction != decision.instruction:
            policy.reset(instruction=decision.instruction)
        yield decision, Observation(decision.images, decision.state)
        if (number + 1) % 1000 == 0:
            report({"asked": number + 1, "of": count})


def ranks(episodes: Sequence[int]) -> npt.NDArray[np.int64]:
    """Episodes (N,) counted from 0 in their order, so that parts of them can be taken by number."""
    return np.unique(np.array(episodes), return_inverse=True)[1].astype(np.int64)
