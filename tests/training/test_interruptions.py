"""A fit that is killed, runs out of disk or diverges leaves its last save, and goes on from there."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_fit import SIZE
from training_data import write_dataset

from hyt.dataset import open_dataset
from hyt.errors import CheckpointError, HytError
from hyt.training.cli import main
from hyt.training.fit import fit
from hyt.training.hybrid import Weights
from hyt.training.model import SIZES
from hyt.training.recipe import Recipe
from hyt.training.start import random_start

RECIPE = Recipe(steps=8, batch=2, warm_up=0.0, decay=0.0)

PROCESSES_TOLERANCE = 1e-5
"""Largest difference of a weight between one process and two of half the batch (four AdamW steps at 1e-3)."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), episodes=5)


def run(data: Path, output: Path, recipe: Recipe = RECIPE, **options: Any) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    options = {"save_every": 2, "report": reports.append} | options
    fit(open_dataset(data), output, random_start(SIZE, "tiny", 0), recipe, **options)
    return reports


def weights(output: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(output / "model.safetensors")
    return tensors


def assert_same(first: Path, second: Path, tolerance: float = 0.0) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], atol=tolerance, rtol=0, msg=key)


def command(data: Path, output: Path, **options: Any) -> list[str]:
    values = {"size": "tiny", "batch": 2, "threads": 1, "steps": 8, "save-every": 2, "warm-up": 0, "decay": 0} | options
    return ["fit", str(data), "-o", str(output), *(text for k, v in values.items() for text in (f"--{k}", str(v)))]


def test_a_killed_fit_loses_only_the_steps_since_its_last_save(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-m", "hyt.training.cli", *command(data, tmp_path / "killed")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert killed.stdout is not None
    for line in killed.stdout:
        if json.loads(line).get("step") == 5:  # behind the save at step 4
            killed.send_signal(signal.SIGKILL)
            break
    killed.wait()
    killed.stdout.close()
    capsys.readouterr()
    assert main(command(data, tmp_path / "killed", steps=8)) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["first_step"] in (4, 6)  # it may outrun the signal
    assert main(command(data, tmp_path / "whole", steps=8)) == 0
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_a_full_disk_stops_in_one_line_and_leaves_the_last_save(data: Path, tmp_path: Path) -> None:
    """A limit on the size of files makes writes fail as a full disk does: in the middle of a file."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(values: dict[str, Any]) -> None:
        if values.get("step") == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))

    try:
        with pytest.raises(HytError, match=r"expected room to write; received .*; free space") as told:
            run(data, tmp_path / "full", report=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "\n" not in str(told.value)
    assert json.loads((tmp_path / "full/training.json").read_text())["step"] == 2
    assert not list((tmp_path / "full").rglob("part"))
    assert run(data, tmp_path / "full")[0]["first_step"] == 2
    run(data, tmp_path / "whole")
    assert_same(tmp_path / "full", tmp_path / "whole")


def test_a_diverging_fit_stops_in_one_line_and_leaves_the_last_save(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "fit", replace(RECIPE, steps=2))
    with pytest.raises(HytError, match=r"fit at step \d; expected a finite loss and gradient; received loss .*nan"):
        run(data, tmp_path / "fit", replace(RECIPE, learning_rate=1e30), save_every=100)
    assert run(data, tmp_path / "fit")[0]["first_step"] == 2
    run(data, tmp_path / "whole")
    assert_same(tmp_path / "fit", tmp_path / "whole")


def test_the_state_of_another_fit_is_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "fit", replace(RECIPE, steps=2))
    with pytest.raises(CheckpointError, match=r"batch; expected 4, as asked; received 2; name another output"):
        run(data, tmp_path / "fit", replace(RECIPE, batch=4))
    with pytest.raises(CheckpointError, match=r"weights; expected \{'act': 1"):
        run(data, tmp_path / "fit", replace(RECIPE, weights=Weights(1, 0, 0)))
    with pytest.raises(
        CheckpointError,
        match=r"expected the fit of a network like this one .*; received another's: .* of shape .*; name another",
    ):
        fit(
            open_dataset(data),
            tmp_path / "fit",
            random_start(SIZES["tiny"], "tiny", 0),
            RECIPE,
            report=lambda _: None,
        )


@pytest.mark.parametrize("damage", [b"", b"not a tensor", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_damaged_state_is_refused_in_one_line(data: Path, tmp_path: Path, damage: bytes) -> None:
    state = tmp_path / "fit/resume/state.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(damage)
    with pytest.raises(CheckpointError, match="expected a saved fit"):
        run(data, tmp_path / "fit")
    save_file({"a": torch.zeros(1)}, state)
    with pytest.raises(CheckpointError, match="expected a saved fit"):
        run(data, tmp_path / "fit")


@pytest.mark.slow
def test_two_processes_fit_what_one_fits(data: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
    ]
    both = [*launch, "--num_processes", "2", "-m", "hyt.training.cli"]
    options = {"steps": 4, "batch": 4, "learning-rate": 1e-3}
    subprocess.run([*both, *command(data, tmp_path / "two", **options)], check=True, env=environment, timeout=300)
    assert main(command(data, tmp_path / "one", **options)) == 0
    assert_same(tmp_path / "one", tmp_path / "two", PROCESSES_TOLERANCE)
