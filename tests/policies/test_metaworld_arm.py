"""The shipped policy: the core says what PyTorch says, INT4 stays near float, and the policy solves its tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hyt.export.exporter import export_bundle
from hyt.runtime import _core
from hyt.runtime.cli import main as hyt_run
from hyt.simulation import seeds

TASKS = (
    "drawer-open-v3",
    "drawer-close-v3",
    "door-open-v3",
    "window-open-v3",
    "window-close-v3",
    "button-press-topdown-v3",
)

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "policies" / "metaworld-arm"
sys.path.insert(0, str(ROOT / "benchmarks"))

from parity import parity  # noqa: E402

F32_LOGIT_ERROR = 2e-4
"""Largest difference of a float32 logit from PyTorch's; sums in another order, logits up to 30."""

Q4_0_LOGIT_ERROR = 0.5
"""Largest difference from PyTorch with the same Q4_0 weights dequantised: ggml rounds activations to int8."""

Q4_0_MEAN_LOGIT_ERROR = 0.1

ACTION_DIFFERENCE_M = 0.002
"""Mean difference of INT4 actions from float32 actions along an axis, in metres; a step moves by 0.05 at most."""


MEMORY_SHARE, MEMORY_SHARE_OF_GGML = 1.2, 2.0
"""Peak memory of the core, of files and cache: 1.13 was measured, the bound is 1.15; another allocator may round up. A
CPU that has no kernels of ours keeps a graph for each slot and length."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("bundles")

    def export(quantization: str) -> Path:
        path = folder / f"{quantization}.hyt"
        if not path.exists():
            graphs = "fused" if quantization == "q4_0" else None
            export_bundle(CHECKPOINT, path, quantization=quantization, onnx=graphs)
        return path

    return export


def check_parity(bundle: Callable[[str], Path], observations: int) -> None:
    exact = parity(CHECKPOINT, bundle("f32"), None, observations, threads=1)
    rounded = parity(CHECKPOINT, bundle("q4_0"), bundle("f32"), observations, threads=1)
    for result, largest, mean in (
        (exact, F32_LOGIT_ERROR, F32_LOGIT_ERROR),
        (rounded, Q4_0_LOGIT_ERROR, Q4_0_MEAN_LOGIT_ERROR),
    ):
        assert result["observations"] == observations
        for name, modality in result["modalities"].items():
            assert modality["positions"] >= 4 * observations, name
            assert modality["differing_above_margin"] == 0, (name, modality)
            assert modality["largest_logit_error"] < largest, (name, modality)
            assert modality["mean_logit_error"] < mean, (name, modality)
    for name, modality in rounded["against"].items():
        metres = [dimension for dimension in modality["actions"] if dimension["unit"] == "m"]
        assert [dimension["name"] for dimension in metres] == list("xyz")
        assert all(dimension["mean"] < ACTION_DIFFERENCE_M for dimension in metres), (name, metres)


def test_the_core_chooses_what_pytorch_chooses(bundle: Callable[[str], Path]) -> None:
    check_parity(bundle, 24)


@pytest.mark.slow
def test_the_core_chooses_what_pytorch_chooses_on_a_thousand_observations(bundle: Callable[[str], Path]) -> None:
    check_parity(bundle, 1000)


def drive(
    bundle: Path, mode: str, episodes: int, tmp_path: Path, *more: str, tasks: Sequence[str] = TASKS
) -> dict[str, Any]:
    """Successes by task on the validation seeds."""
    robots = "sim:metaworld/" + ",".join(tasks)
    first = str(seeds.VALIDATION[0])
    options = ["--mode", mode, "--episodes", str(episodes), "--seed", first, "--threads", "1", "--no-view", *more]
    report = tmp_path / f"{mode}.json"
    assert hyt_run(["drive", str(bundle), "--robot", robots, *options, "--json", str(report)]) == 0
    results = json.loads(report.read_text(encoding="utf-8"))["robots"]
    assert all(robot["firmware"]["rejected_frames"] == 0 for robot in results)
    return {robot["robot"].rpartition("/")[2]: robot["successes"] for robot in results}


def test_onnxruntime_acts_as_the_core_on_the_same_weights(bundle: Callable[[str], Path], tmp_path: Path) -> None:
    """Both round activations to int8, each in its own order: an action that is a tie may fall either way."""
    tasks = ("drawer-open-v3", "window-open-v3")
    core, onnx = (
        drive(bundle("q4_0"), "act", 1, tmp_path, "--backend", backend, tasks=tasks) for backend in ("core", "onnx")
    )
    assert sum(onnx.values()) >= sum(core.values()) - 1


@pytest.mark.parametrize("mode", ["act", "think", "follow"])
def test_the_policy_solves_most_of_its_tasks_in_every_modality(
    bundle: Callable[[str], Path], mode: str, tmp_path: Path
) -> None:
    """Three episodes a task; a policy that did nothing useful would solve none."""
    solved = drive(bundle("q4_0"), mode, 3, tmp_path)
    assert sum(successes >= 2 for successes in solved.values()) >= 4, solved


def test_the_core_takes_little_memory_beside_weights_and_cache(bundle: Callable[[str], Path]) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "start.py"), str(bundle("q4_0")), "--repeat", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (policy,) = json.loads(done.stdout.splitlines()[-1])["policies"]
    bound = MEMORY_SHARE if _core.system()["kernels"] else MEMORY_SHARE_OF_GGML
    assert 1 < policy["loads"]["copied"]["memory"]["share"] < bound
