"""The Python that README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyt.export.exporter import export_bundle

ROOT = Path(__file__).parents[1]


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    export_bundle(ROOT / "policies" / "metaworld-arm", tmp_path / "arm.hyt")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "image": np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8),
        "state": np.array([0.0, 0.6, 0.2, 1.0], np.float32),
        "setpoint": np.array([0.0, 0.6, 0.2, 0.0]),
    }
    for block in blocks:
        exec(block, names)
    assert names["chunk"].values.shape == (1, 4)
    assert names["thought"].action is not None
    np.testing.assert_allclose(names["reached"], [0.02, 0.0], atol=1e-6)
    names["policy"].close()
