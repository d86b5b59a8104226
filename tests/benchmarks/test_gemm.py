"""Tests of benchmarks/gemm.py: it compares each of our kernels, and says so in one line of JSON."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hyt.runtime import _core

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gemm.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gemm", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gemm", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PREFILL", ((64, 48, 5),))
    monkeypatch.setattr(module, "DECODE", ((64, 48),))
    return module


def test_every_shape_has_a_row_with_its_share(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(["--threads", "1", "--repeat", "2"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["kernels"] in _core.system()["kernels"]  # type: ignore[operator]
    (prefill,), (decode,) = report["prefill"], report["decode"]
    assert prefill["shape"] == [64, 48, 5]
    assert prefill["share"] == pytest.approx(prefill["ours_ops"] / prefill["vendor_ops"])
    assert decode["share"] == pytest.approx(decode["ours_bytes"] / decode["read_bytes"])


def test_kernels_that_are_not_there_are_refused() -> None:
    with pytest.raises(_core.CoreError, match="kernels; expected"):
        _core.time_product("SSE2", 64, 48, 5)
    with pytest.raises(_core.CoreError, match="multiple of 32"):
        _core.time_product("", 40, 48, 5)
