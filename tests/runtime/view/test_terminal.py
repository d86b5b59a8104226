"""Tests of hyt.runtime.view.terminal and .plain: the live panel, and plain lines where there is no terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
from fakes import FakeRobot, fake_policy
from rich.console import Console

from hyt.runtime.actions import ActionTable, Timings
from hyt.runtime.controls import Controls
from hyt.runtime.listener import LimiterState, Listener, ThoughtProgress
from hyt.runtime.loop import run_episode
from hyt.runtime.view.plain import PlainLines
from hyt.runtime.view.state import RunState
from hyt.runtime.view.terminal import TerminalView
from hyt.runtime.view.words import describe_action


def watched(folder: Path) -> RunState:
    """The state after two decisions of a fake robot that think."""
    policy, _ = fake_policy(folder)
    robot, state = FakeRobot(decisions=2), RunState()
    state.robot_opened("fake", modality="think", episodes=3, counters=robot.counters)
    run_episode(policy, robot, instruction="open the drawer", modality="think", seed=4, listeners=[state])
    return state


def text_of(state: RunState, controls: Controls | None = None, width: int = 80, colours: str = "truecolor") -> str:
    terminal = Console(
        file=io.StringIO(),
        width=width,
        record=True,
        force_terminal=True,
        color_system=colours if colours else None,  # type: ignore[arg-type]
    )
    terminal.print(TerminalView(terminal, state, controls or Controls()).render())
    return terminal.export_text()


def test_the_panel_shows_instruction_thought_action_latency_score_and_link(tmp_path: Path) -> None:
    text = text_of(watched(tmp_path))
    assert "fake - think" in text
    assert "open the drawer" in text
    assert "PLAN reach lower" in text
    assert "x -0.469 m  y -0.469 m  z -0.469 m  gripper -0.469" in text
    assert "vision 4.0  prefill 3.0  thought 2.0  decode 2.0" in text
    assert "1 of 1 (of 3 episodes)" in text
    assert "ticks 50 chunks 2 rejected_frames 0" in text
    assert "time stands still between ticks" in text


def test_a_wide_terminal_shows_the_camera_and_a_narrow_or_plain_one_its_size(tmp_path: Path) -> None:
    state = watched(tmp_path)
    assert "▀▀▀" in text_of(state, width=120)
    for text in (text_of(state, width=80), text_of(state, width=120, colours="")):
        assert "▀" not in text
        assert "camera0 28x28" in text


def test_a_thought_that_is_written_shows_as_it_grows_with_margin_limits_and_the_text_to_follow(tmp_path: Path) -> None:
    state, controls = watched(tmp_path), Controls()
    assert state.now.decision is not None
    state.decided(replace(state.now.decision, margin=-0.0125, frame_ages={"camera0": 0.033}))
    state.thought(ThoughtProgress(7, 2, 50, 0.0, "plan reach", 2, 0.004, "writing"))
    state.limited(LimiterState(2.5, 40, "a cool-down"))
    controls.follow("move up")
    text = text_of(state, controls)
    assert "plan reach▌" in text
    assert "-12.5 ms" in text
    assert "waits for a cool-down  2.5 thoughts, 40 tokens left" in text
    assert "following    move up" in text
    assert "33 ms old" in text


def test_a_continuous_action_is_shown_without_a_share_of_certainty() -> None:
    data = checkpoints.contract_data()
    data["action"] |= {"kind": "continuous", "token_ids": [], "bin_centers": []}
    action = checkpoints.Contract.model_validate(data).action
    chunk = ActionTable(action).continuous_chunk(np.zeros(8, np.float32), Timings())
    assert describe_action(chunk) == "x +0.000 m  y +0.000 m  z +0.000 m  gripper +0.000"


def test_without_a_terminal_an_episode_is_one_plain_line(tmp_path: Path) -> None:
    output = io.StringIO()
    policy, _ = fake_policy(tmp_path)
    robot = FakeRobot(decisions=2)
    lines: Listener = PlainLines(Console(file=output, width=40), robot, modality="think", episodes=3)
    run_episode(policy, robot, instruction="open the drawer", seed=4, listeners=[lines])
    assert output.getvalue() == "fake - think: episode 1/3 seed 4 solved in 2 decisions, 1/1 solved\n"


def test_a_thought_is_never_read_as_markup() -> None:
    state = RunState()
    state.robot_opened("[red]arm", modality="act", episodes=1, counters=dict)
    state.episode_started(0, "[bold]open[/nothing]")
    assert "[bold]open[/nothing]" in text_of(state)


def test_the_view_draws_in_a_thread_of_its_own_and_leaves_nothing_behind(tmp_path: Path) -> None:
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True)
    with TerminalView(terminal, watched(tmp_path), Controls()):
        pass
    written = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "open the drawer" in written
    assert written.rstrip().endswith("\x1b[2K")  # the last it does is erase its lines
