"""What is evaluated: bundles as they are, and checkpoints, exported into a temporary folder first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hyt.errors import CheckpointError, InputError
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle
from hyt.runtime.manifest import MANIFEST_NAME
from hyt.runtime.policy import BACKENDS
from hyt.simulation.tasks import TASKS


@dataclass(frozen=True)
class Entry:
    """One policy with its weights in one precision.

    name:     what tables call it, unlike any other entry's
    bundle:   folder of the bundle
    identity: of the policy itself and its engine: equal weights, tokenizer and contract give equal identities
    instructions: those that it was trained on, as far as its contract lists them
    backend:  the engine that computes it, one of hyt.runtime.policy.BACKENDS
    """

    name: str
    bundle: Path
    quantization: str
    identity: str
    instructions: tuple[str, ...]
    backend: str = "core"


def open_entries(
    paths: Sequence[Path], quantizations: Sequence[str], scratch: Path, backends: Sequence[str] = ("core",)
) -> list[Entry]:
    """Entries of bundles and checkpoints, one for each of `backends`.

    Each checkpoint is exported to `scratch` once for each quantization. Raises CheckpointError, BundleError and
    InputError for what cannot be exported or opened, is named twice, or is no backend.
    """
    if unknown := [backend for backend in backends if backend not in BACKENDS]:
        raise InputError("backends", expected=f"some of {', '.join(BACKENDS)}", received=repr(unknown[0]))
    graphs = "fused" if "onnx" in backends else None
    entries: list[Entry] = []
    for path in paths:
        if (path / MANIFEST_NAME).exists():
            entries += _entries(path, backends)
            continue
        if not (path / "hyt.json").exists():
            raise CheckpointError(
                str(path),
                expected=f"a bundle ({MANIFEST_NAME}) or a checkpoint (hyt.json)",
                received="neither" if path.is_dir() else "no folder",
            )
        for quantization in quantizations:
            bundle = scratch / f"{len(entries)}-{quantization}.hyt"
            export_bundle(path, bundle, quantization=quantization, onnx=graphs, threads=1)
            entries += _entries(bundle, backends, path.resolve().name)
    return _distinct(entries)


def tasks_known(entries: Sequence[Entry]) -> list[str]:
    """Names of the tasks that the first entry was trained on; all in `TASKS` when its contract lists none of them."""
    known = [task.name for task in TASKS.values() if task.instructions[0] in entries[0].instructions]
    return known or list(TASKS)


def _entries(path: Path, backends: Sequence[str], name: str = "") -> list[Entry]:
    """The bundle by each backend; that of the core has no addition to its name and identity."""
    bundle = open_bundle(path)
    quantization, identity = bundle.manifest.quantization.requested, bundle.manifest.identity()
    name = f"{name or path.resolve().stem} {quantization}"
    core = Entry(name, path, quantization, identity, tuple(bundle.contract.instructions))
    return [
        core if backend == core.backend
        else replace(core, name=f"{name} {backend}", identity=f"{identity}+{backend}", backend=backend)
        for backend in backends
    ]  # fmt: skip


def _distinct(entries: list[Entry]) -> list[Entry]:
    """The entries, those of equal names numbered; raises InputError when one policy is there twice."""
    seen: dict[str, Entry] = {}
    named: list[Entry] = []
    for entry in entries:
        if other := seen.get(entry.identity):
            raise InputError(
                "policies", expected="different ones", received=f"{entry.name!r}, the same as {other.name!r}"
            )
        seen[entry.identity] = entry
        same = sum(other.name.partition(" #")[0] == entry.name for other in named)
        named.append(replace(entry, name=f"{entry.name} #{same + 1}") if same else entry)
    return named
