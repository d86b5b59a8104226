"""Random tiny bundles: a checkpoint of `checkpoints`, exported.

path = write_bundle(tmp_path)             # tmp_path / "tiny.hyt", the shape of `checkpoints.DEFAULT`
path = write_arm_bundle(tmp_path)         # its camera, state and actions are the simulated arm's
seal(path)                                # after a change of its manifest that the seal is to agree with
agree(path, "language.gguf")              # after a change of a file that manifest and seal are to agree with
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import checkpoints

from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import describe_file

ARM = checkpoints.Shape(image_size=128, patch_size=16, steps=1)


def write_bundle(
    folder: Path,
    shape: checkpoints.Shape = checkpoints.DEFAULT,
    quantization: str = "q4_0",
    onnx: str | None = None,
) -> Path:
    """Export a random checkpoint to `folder / "tiny.hyt"`, on one thread."""
    checkpoints.write_checkpoint(folder / "tiny", shape)
    return _export(folder, quantization, onnx)


def write_arm_bundle(
    folder: Path, *, steps: int = 1, reach: float = 0.05, gate_units: int = 0, onnx: str | None = None
) -> Path:
    """The same for the simulated arm: camera corner2 of 128 pixels, up to `reach` metres a step, gripper effort."""
    checkpoints.write_checkpoint(folder / "tiny", replace(ARM, steps=steps, gate_units=gate_units))
    path = folder / "tiny" / "hyt.json"
    contract = json.loads(path.read_text())
    contract["cameras"][0]["name"] = contract["prompt"][0]["camera"] = "corner2"
    *motion, gripper = contract["action"]["dimensions"]
    for axis in motion:
        axis.update(low=-reach, high=reach)
    gripper.update(low=-1.0, high=1.0, semantics="absolute", relative_to="none")
    path.write_text(json.dumps(contract))
    return _export(folder, "q4_0", onnx)


def seal(bundle: Path) -> None:
    """Forge the seal so that it agrees with the manifest as it is now."""
    digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    (bundle / "manifest.sha256").write_text(f"{digest}  manifest.json\n")


def agree(bundle: Path, name: str) -> None:
    """Forge manifest and seal so that they agree with a file as it is now."""
    manifest = bundle / "manifest.json"
    data = json.loads(manifest.read_text())
    data["files"][name] = describe_file(bundle / name).model_dump()
    manifest.write_text(json.dumps(data))
    seal(bundle)


def _export(folder: Path, quantization: str, onnx: str | None = None) -> Path:
    path = folder / "tiny.hyt"
    export_bundle(folder / "tiny", path, quantization=quantization, onnx=onnx, threads=1)
    return path
