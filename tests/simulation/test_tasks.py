"""The phases that thoughts name are the branches that Meta-World's experts take."""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import Any

import numpy as np
import pytest
from metaworld.policies import ENV_POLICY_MAP

from hyt.simulation.tasks import TASKS


def branch_taken(expert: Any, observation: np.ndarray) -> tuple[int, ...]:
    """The lines of its own code that an expert executes for an observation: its branch, whatever its structure."""
    lines: list[int] = []

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_name not in ("get_action", "_desired_pos"):
            return None
        if event == "line":
            lines.append(frame.f_lineno)
        return trace

    sys.settrace(trace)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expert.get_action(observation)
    finally:
        sys.settrace(None)
    return tuple(lines)


@pytest.mark.parametrize("name", TASKS)
def test_a_phase_is_named_exactly_when_the_expert_takes_its_branch(name: str) -> None:
    task, expert = TASKS[name], ENV_POLICY_MAP[name]()
    random = np.random.default_rng(3)
    branches: dict[int, set[tuple[int, ...]]] = {}
    for _ in range(3000):
        observation = np.zeros(39)
        observation[4:7] = random.uniform([-0.2, 0.5, 0.0], [0.2, 0.9, 0.3])
        near = random.choice([0.02, 0.08, 0.4])
        observation[3] = random.uniform()
        observation[:3] = observation[4:7] + random.uniform(-near, near, 3)
        phase = task.phase(observation[:3].copy(), observation[4:7].copy(), observation[3])
        branches.setdefault(phase, set()).add(branch_taken(expert, observation))
    assert sorted(branches) == list(range(len(task.phases)))
    assert all(len(taken) == 1 for taken in branches.values())
    assert len(set.union(*branches.values())) == len(task.phases)


def test_instructions_of_different_tasks_differ() -> None:
    texts = [text for task in TASKS.values() for text in task.instructions]
    assert len(set(texts)) == len(texts)
