"""Tests of benchmarks/quantization.py: a line of Markdown a row, mixed rows within the bytes of another, rows kept."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from checkpoints import Checkpoint, make_contract
from observed import write_observations

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quantization.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quantization", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_row_is_measured_and_printed(
    script: ModuleType,
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_observations(tmp_path / "data", make_contract())
    rows = [row for row in script.ROWS if row.name in ("f32", "q4_0 plain", "mixed importance")]
    monkeypatch.setattr(script, "ROWS", rows)
    arguments = [
        str(tiny_checkpoint.path),
        str(data),
        "--observations",
        "2",
        "--held-out",
        "3",
        "--json",
        str(tmp_path / "table.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["quantization.py", *arguments])
    assert script.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["f32", "q4_0 plain", "mixed importance"]
    assert {len(line.split("|")) for line in lines} == {len(script.COLUMNS) + 2}
    assert "| 100.0% | 0 | 0 | 0.00 |" in lines[2]
    assert lines[2].count("| 100.0% (") == 3
    measured = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert measured[2]["bytes"] <= measured[1]["bytes"] < measured[0]["bytes"]


def test_a_row_that_was_kept_is_not_measured_again_unless_what_it_depends_on_has_changed(
    script: ModuleType, tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_observations(tmp_path / "data", make_contract())
    row = next(row for row in script.ROWS if row.name == "q8_0")
    monkeypatch.setattr(script, "ROWS", [row])
    arguments = [str(tiny_checkpoint.path), str(data), "--held-out", "2", "--work", str(tmp_path / "rows")]
    measured: list[int] = []

    class Counted(script.Ground):  # type: ignore[name-defined,misc]
        def __init__(self, *rest: Any, **options: Any) -> None:
            measured.append(options["observations"])
            super().__init__(*rest, **options)

    monkeypatch.setattr(script, "Ground", Counted)

    def run(observations: str) -> None:
        monkeypatch.setattr(sys, "argv", ["quantization.py", *arguments, "--observations", observations])
        assert script.main() == 0

    run("2")
    run("2")
    assert measured == [2]
    run("3")
    assert measured == [2, 3]
    (data / "more.txt").write_text("another data set")
    run("2")
    assert measured == [2, 3, 2]
