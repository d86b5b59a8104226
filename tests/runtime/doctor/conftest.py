"""The robots of the serial robot's tests are those of the doctor's."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serial_robot"))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers are looked at for a moment, not for a second."""
    monkeypatch.setattr("hyt.runtime.doctor.real_time.SECONDS", 0.02)
