"""The Python that docs/view.md shows runs as it stands there, at another port."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes import FakeRobot, fake_policy

DOCUMENT = Path(__file__).parents[4] / "docs" / "view.md"


def test_the_documents_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    policy, _ = fake_policy(tmp_path)
    names = {"policy": policy, "robot": FakeRobot()}
    exec(block.replace(":8080", ":0"), names)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\n", capsys.readouterr().out)
    assert len(names["robot"].chunks) == 3  # type: ignore[attr-defined]
