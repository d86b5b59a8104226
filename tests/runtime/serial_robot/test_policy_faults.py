"""A state or an action that is no number, or a bug, ends a drive: exit codes, and an arm that brakes to rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drives import Gantry

from hyt.firmware_bridge import State
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.cli import main

Captured = pytest.CaptureFixture[str]


ADAPTER = """
import numpy as np
calls = 0
def state(positions):
    global calls
    calls += 1
    if calls > 15:
        {fault}
    return np.array([positions[0], positions[1], positions[2], positions[3] * 0.5 + 0.5])
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("return np.full(4, np.nan)", "expected finite numbers of shape (4,); received NaN or infinity"),
        ("return 1 / 0", "expected an answer; received ZeroDivisionError: division by"),
    ],
)
def test_a_state_that_is_no_number_ends_the_drive_with_5(
    arm_bundle: Path,
    slow_gantry: Callable[..., Gantry],
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    said: str,
) -> None:
    module = f"adapter_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(ADAPTER.format(fault=fault))
    monkeypatch.syspath_prepend(str(tmp_path))
    arm = slow_gantry("images:frames", f'\n[kinematics]\nstate = "{module}:state"\n')
    assert main(arm.command(arm_bundle)) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hyt-run: robot.toml: kinematics.state; {said}")
    assert arm.came_to_rest() is State.DISARMED


def after_some(monkeypatch: pytest.MonkeyPatch, then: Callable[[Any], Any]) -> None:
    """The core answers as it does, fifteen times, and then what `then` makes of it."""
    act, count = CoreBackend.act, iter(range(10**6))

    def broken(backend: CoreBackend, tag: int) -> Any:
        answer = act(backend, tag)
        return answer if next(count) < 15 else then(answer)

    monkeypatch.setattr(CoreBackend, "act", broken)


def test_a_policy_whose_probabilities_are_nan_ends_the_drive_with_12(
    arm_bundle: Path, slow_gantry: Callable[..., Gantry], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(answer: Any) -> Any:
        answer.probabilities[-1] = np.nan
        return answer

    after_some(monkeypatch, spoil)
    arm = slow_gantry()
    assert main(arm.command(arm_bundle)) == 12
    assert capsys.readouterr().err == (
        "hyt-run: action probabilities; expected finite numbers; received NaN or infinity; do not run this policy; "
        "export it again from a sound checkpoint\n"
    )
    assert arm.came_to_rest() is State.DISARMED


def test_even_a_bug_of_ours_leaves_a_disarmed_arm(
    arm_bundle: Path, slow_gantry: Callable[..., Gantry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(answer: Any) -> Any:
        raise RuntimeError("a bug")

    after_some(monkeypatch, fail)
    arm = slow_gantry()
    with pytest.raises(RuntimeError, match="a bug"):
        main(arm.command(arm_bundle))
    assert arm.came_to_rest() is State.DISARMED
