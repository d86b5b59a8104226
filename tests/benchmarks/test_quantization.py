"""Tests of benchmarks/quantization.py: a line of Markdown for each row, mixed rows within the bytes of another."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

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
    arguments = [str(tiny_checkpoint.path), str(data), "--observations", "2", "--json", str(tmp_path / "table.json")]
    monkeypatch.setattr(sys, "argv", ["quantization.py", *arguments])
    assert script.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["f32", "q4_0 plain", "mixed importance"]
    assert {len(line.split("|")) for line in lines} == {len(script.COLUMNS) + 2}
    assert "| 100.0% | 100.0% | 100.0% | 100.0% | 0 | 0 | 0.00 |" in lines[2]
    measured = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert measured[2]["bytes"] <= measured[1]["bytes"] < measured[0]["bytes"]
