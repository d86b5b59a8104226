"""What is evaluated: bundles as they are, and checkpoints, exported into a temporary folder first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hyt.errors import CheckpointError, InputError
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle
from hyt.runtime.manifest import MANIFEST_NAME
from hyt.simulation.tasks import TASKS


@dataclass(frozen=True)
class Entry:
    """One policy with its weights in one precision.

    name:     what tables call it, unlike any other entry's
    bundle:   folder of the bundle
    identity: of the policy itself: equal weights, tokenizer and contract give equal identities
    instructions: those that it was trained on, as far as its contract lists them
    """

    name: str
    bundle: Path
    quantization: str
    identity: str
    instructions: tuple[str, ...]


def open_entries(paths: Sequence[Path], quantizations: Sequence[str], scratch: Path) -> list[Entry]:
    """Entries of bundles and checkpoints; each checkpoint is exported to `scratch` once for each quantization.

    Raises CheckpointError, BundleError and InputError for what cannot be exported or opened, or is named twice.
    """
    entries: list[Entry] = []
    for path in paths:
        if (path / MANIFEST_NAME).exists():
            entries.append(_entry(path))
            continue
        if not (path / "hyt.json").exists():
            raise CheckpointError(
                str(path),
                expected=f"a bundle ({MANIFEST_NAME}) or a checkpoint (hyt.json)",
                received="neither" if path.is_dir() else "no folder",
            )
        for quantization in quantizations:
            bundle = scratch / f"{len(entries)}-{quantization}.hyt"
            export_bundle(path, bundle, quantization=quantization, threads=1)
            entries.append(_entry(bundle, path.resolve().name))
    return _distinct(entries)


def tasks_known(entries: Sequence[Entry]) -> list[str]:
    """Names of the tasks that the first entry was trained on; all in `TASKS` when its contract lists none of them."""
    known = [task.name for task in TASKS.values() if task.instructions[0] in entries[0].instructions]
    return known or list(TASKS)


def _entry(path: Path, name: str = "") -> Entry:
    bundle = open_bundle(path)
    quantization = bundle.manifest.quantization.requested
    name = f"{name or path.resolve().stem} {quantization}"
    return Entry(name, path, quantization, bundle.manifest.identity(), tuple(bundle.contract.instructions))


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
