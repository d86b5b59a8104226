"""What the subcommands share: output files that appear whole or not at all, and facts about the run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyt.errors import InputError
from hyt.runtime.bundle import Bundle, describe_file
from hyt.runtime.manifest import MANIFEST_NAME

_PACKAGES = ("hyt", "llama-cpp-python", "onnxruntime", "numpy", "tokenizers", "metaworld", "mujoco")


def check_output(path: Path | None, *, folder: bool = False) -> None:
    """Refuse, before any work, an output that cannot be written; a file that is there will be replaced.

    Raises InputError without a parent folder, or where a file stands for a folder or the other way round.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise InputError(f"output {path}", expected="an existing parent folder", received="none", remedy="create it")
    fits = path.is_dir() if folder else path.is_file()
    if path.exists() and not fits:
        expected = "a folder" if folder else "an ordinary file"
        raise InputError(f"output {path}", expected=expected, received="something else there", remedy="name another")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"output {path}", expected="a folder one may write to", received="none", remedy="name another")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON beside `path` and rename it: readers see the old file or the whole new one."""
    path = path.resolve()  # through a link: its target is replaced, the link stays
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=2, allow_nan=False)
            file.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """Which policy it was: the manifest's hash stands for every file of the bundle."""
    return {
        "name": bundle.manifest.name,
        "manifest_sha256": describe_file(bundle.path / MANIFEST_NAME).sha256,
        "quantization": bundle.manifest.quantization.requested,
    }


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The machine of the run: architecture, processor and logical cores."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    except OSError:
        pass  # not Linux: the platform's own word is what there is
    return {"architecture": platform.machine(), "processor": processor, "logical_cores": os.cpu_count()}
