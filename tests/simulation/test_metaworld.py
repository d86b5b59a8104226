"""The arm follows setpoints as Meta-World's own interface would, and starts the same episode for the same seed."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from hyt.errors import InputError
from hyt.simulation.metaworld import METRES_PER_UNIT, MetaWorldArm
from hyt.simulation.thoughts import GRID, sub_instruction, thought, words

TASK = "button-press-topdown-v3"


@pytest.fixture(scope="module")
def arm() -> Iterator[MetaWorldArm]:
    arm = MetaWorldArm(TASK)
    yield arm
    arm.close()


def test_an_unknown_task_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="task 'juggle-v3'; expected one of drawer-open-v3, "):
        MetaWorldArm("juggle-v3")


def test_reset_does_not_depend_on_the_episode_before(arm: MetaWorldArm) -> None:
    arm.reset(11)
    images, state = arm.observe()
    for _ in range(30):
        arm.apply(np.append(arm.setpoint + np.array([0.005, 0.008, 0.0]), 1.0))
    arm.reset(12)
    arm.reset(11)
    again, state_again = arm.observe()
    np.testing.assert_array_equal(images["corner2"], again["corner2"])
    np.testing.assert_array_equal(state, state_again)


def test_the_seed_decides_where_the_object_stands(arm: MetaWorldArm) -> None:
    arm.reset(1)
    first = arm.thing
    arm.reset(2)
    assert np.abs(arm.thing - first).max() > 0.01


def test_a_setpoint_moves_the_arm_as_the_environments_own_action_does(arm: MetaWorldArm) -> None:
    random = np.random.default_rng(0)
    actions = random.uniform(-1, 1, (20, 4))
    arm.reset(5)
    for action in actions:
        arm.apply(np.append(arm.setpoint + METRES_PER_UNIT * action[:3], action[3]))
    by_setpoints = arm.hand
    arm.reset(5)
    for action in actions:
        observation = arm._env.step(action)[0]
    np.testing.assert_allclose(by_setpoints, observation[:3], atol=1e-6)


def test_projection_finds_the_pixels_that_the_renderer_draws(arm: MetaWorldArm) -> None:
    """Against MuJoCo's own segmentation image, on the same camera."""
    arm.reset(7)
    model, data = arm._env.model, arm._env.data
    camera = arm._camera
    full = 228
    renderer = mujoco.Renderer(model, full, full)
    renderer.enable_segmentation_rendering()
    renderer.update_scene(data, camera="corner2")
    segments = renderer.render()[::-1, ::-1]
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "button")
    geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == body]
    rows, columns = np.nonzero(np.isin(segments[..., 0], geoms) & (segments[..., 1] == mujoco.mjtObj.mjOBJ_GEOM))
    renderer.close()
    x, y = camera.project(data, data.geom_xpos[geoms].mean(axis=0))
    from hyt.simulation import camera as module

    assert len(rows) > 5
    assert abs(x + module._CROP_X - columns.mean()) < 4
    assert abs(y + module._CROP_Y - rows.mean()) < 4


def test_a_thought_holds_the_sub_instruction_and_only_known_words(arm: MetaWorldArm) -> None:
    known = set(words()) | {f"<p{i:02d}>" for i in range(GRID)}
    for seed in range(3):
        arm.reset(seed)
        for _ in range(6):
            text = thought(arm)
            assert sub_instruction(arm) in text
            assert text.startswith("plan reach press subtask ")
            assert set(text.split()) <= known
            action = arm.expert()
            arm.apply(np.append(arm.setpoint + 5 * METRES_PER_UNIT * action[:3], action[3]))
