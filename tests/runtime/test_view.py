"""Tests of hyt.runtime.view: the live panel, and plain lines without a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import checkpoints
import numpy as np
from fakes import FakeRobot, fake_policy
from rich.console import Console

from hyt.runtime.actions import ActionTable, Timings
from hyt.runtime.loop import run_episode
from hyt.runtime.view import View, describe_action


def watch(folder: Path, console: Console) -> View:
    policy, _ = fake_policy(folder)
    robot = FakeRobot(decisions=2)
    with View(console, robot="fake", modality="think", episodes=3, counters=robot.counters) as view:
        run_episode(policy, robot, instruction="open the drawer", modality="think", seed=4, listeners=[view])
    return view


def text_of(view: View) -> str:
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(view.render())
    return console.export_text()


def test_the_panel_shows_instruction_thought_action_latency_score_and_link(tmp_path: Path) -> None:
    text = text_of(watch(tmp_path, Console(file=io.StringIO(), force_terminal=True, width=100)))
    assert "fake - think" in text
    assert "open the drawer" in text
    assert "PLAN reach lower" in text
    assert "x -0.469 m  y -0.469 m  z -0.469 m  gripper -0.469  (50% sure)" in text
    assert "vision 4.0  prefill 3.0  thought 2.0  decode 2.0" in text
    assert "1 of 1 (of 3 episodes)" in text
    assert "ticks 50 chunks 2 rejected_frames 0" in text


def test_a_continuous_action_is_shown_without_a_share_of_certainty() -> None:
    data = checkpoints.contract_data()
    data["action"] |= {"kind": "continuous", "token_ids": [], "bin_centers": []}
    action = checkpoints.Contract.model_validate(data).action
    chunk = ActionTable(action).continuous_chunk(np.zeros(8, np.float32), Timings())
    assert describe_action(chunk) == "x +0.000 m  y +0.000 m  z +0.000 m  gripper +0.000"


def test_without_a_terminal_an_episode_is_one_plain_line(tmp_path: Path) -> None:
    output = io.StringIO()
    watch(tmp_path, Console(file=output, width=40))
    assert output.getvalue() == "fake - think: episode 1/3 seed 4 solved in 2 decisions, 1/1 solved\n"


def test_a_thought_is_never_read_as_markup(tmp_path: Path) -> None:
    view = View(Console(file=io.StringIO()), robot="[red]arm", modality="act", episodes=1, counters=dict)
    view.episode_started(0, "[bold]open[/nothing]")
    assert "[bold]open[/nothing]" in text_of(view)
