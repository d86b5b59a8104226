"""The simulated arm: a Meta-World task that is moved by setpoints and seen through one camera.

Reset follows LeRobot's Meta-World protocol (`MT1(task, seed=42)`, seeded object poses). One control step is 12.5 ms of
physics; a setpoint is (x, y, z, gripper): the mocap position in metres, world frame, and the gripper's effort in [-1,
1].
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from hyt.simulation.camera import CAMERA, WorkspaceCamera  # first: it chooses the graphics library

# isort: split
import metaworld
import mujoco
from metaworld.policies import ENV_POLICY_MAP

from hyt.simulation.tasks import find_task

CONTROL_STEP = 0.0125
"""Seconds of one control step (five physics steps of 2.5 ms)."""

METRES_PER_UNIT = 0.01
"""Meta-World moves the mocap body by this much in one control step at action 1."""

MAX_CONTROL_STEPS = 500
"""An episode ends here, as in LeRobot's protocol."""


class MetaWorldArm:
    """One of Meta-World's fifty tasks; raises InputError for another name."""

    def __init__(self, task: str) -> None:
        self.task = find_task(task)
        benchmark = metaworld.MT1(task, seed=42)
        self._env = benchmark.train_classes[task]()
        self._env.set_task(benchmark.train_tasks[0])
        self._env._freeze_rand_vec = False
        self._env.seeded_rand_vec = True
        self._env.max_path_length = 10 * MAX_CONTROL_STEPS
        self._expert = ENV_POLICY_MAP[task]()
        self._camera = WorkspaceCamera(self._env.model)
        self._observation: npt.NDArray[np.float64] = np.zeros(39)
        self.success = False
        self.control_steps = 0

    @property
    def limits(self) -> npt.NDArray[np.float64]:
        """Setpoint limits (4, 2): low and high of x, y, z in metres and of the gripper's effort."""
        xyz = np.stack([self._env.mocap_low, self._env.mocap_high], axis=1)
        limits: npt.NDArray[np.float64] = np.concatenate([xyz, [[-1.0, 1.0]]]).astype(np.float64)
        return limits

    @property
    def setpoint(self) -> npt.NDArray[np.float64]:
        """Position (3,) in metres that the arm is told to hold now."""
        position: npt.NDArray[np.float64] = np.array(self._env.data.mocap_pos[0], dtype=np.float64)
        return position

    @property
    def hand(self) -> npt.NDArray[np.float64]:
        """Measured position of the hand (3,) in metres."""
        position: npt.NDArray[np.float64] = self._observation[:3].copy()
        return position

    @property
    def thing(self) -> npt.NDArray[np.float64]:
        """Position (3,) in metres of what the task is about: handle, button, puck; in reach the goal."""
        position: npt.NDArray[np.float64] = self._observation[4:7].copy()
        return self.goal if self.task.name == "reach-v3" else position

    @property
    def goal(self) -> npt.NDArray[np.float64]:
        """Position (3,) in metres of the marked goal, in tasks that have one."""
        position: npt.NDArray[np.float64] = self._observation[-3:].copy()
        return position

    @property
    def done(self) -> bool:
        """The episode is over: solved, or at its longest."""
        return self.success or self.control_steps >= MAX_CONTROL_STEPS

    def reset(self, seed: int) -> None:
        """Start the episode of this seed: the seed decides where the object stands."""
        self._env.seed(seed)
        self._env.reset()
        # metaworld 3.1.1 can leave object poses of the episode before in its first observation.
        mujoco.mj_forward(self._env.model, self._env.data)
        self._observation = np.asarray(self._env._get_obs(), dtype=np.float64)
        self.success = False
        self.control_steps = 0

    def copy_scene(self, other: MetaWorldArm) -> None:
        """Take over where everything is from an arm with the same scene, so that this task's expert can judge it."""
        ours, theirs = self._env, other._env
        ours.model.body_pos[:] = theirs.model.body_pos
        for name in ("qpos", "qvel", "mocap_pos", "mocap_quat"):
            getattr(ours.data, name)[:] = getattr(theirs.data, name)
        mujoco.mj_forward(ours.model, ours.data)
        self._observation = np.asarray(ours._get_obs(), dtype=np.float64)

    def observe(self) -> tuple[dict[str, npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
        """Images by camera name, uint8 (128, 128, 3); state float32 (4,): hand x, y, z in metres, gripper opening."""
        return {CAMERA: self._camera.frame(self._env.data)}, self._observation[:4].astype(np.float32)

    def apply(self, setpoint: npt.NDArray[np.float64]) -> None:
        """Advance one control step towards a setpoint (4,): x, y, z in metres, gripper effort."""
        motion = (setpoint[:3] - self._env.data.mocap_pos[0]) / METRES_PER_UNIT
        action = np.append(motion, setpoint[3]).astype(np.float64)
        observation, _, _, _, info = self._env.step(action)
        self._observation = np.asarray(observation, dtype=np.float64)
        self.success = self.success or bool(info["success"])
        self.control_steps += 1

    def expert(self) -> npt.NDArray[np.float64]:
        """The scripted expert's action (4,) in [-1, 1] for this state: motion in units of 1 cm, gripper effort."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it warns of the clipping that its environment relies on
            # A copy: some experts write into the observation they are given.
            action = self._expert.get_action(self._observation.copy())
        return np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)

    def phase(self) -> int:
        """Index of the expert's present phase in `task.phases`."""
        return self.task.phase(self.hand, self.thing, float(self._observation[3]))

    def pixel(self, point: npt.NDArray[np.float64]) -> tuple[float, float]:
        """Pixel (x, y) in the policy's image of a point (3,) in metres."""
        return self._camera.project(self._env.data, point)

    def render(self, size: int) -> npt.NDArray[np.uint8]:
        """The whole scene, uint8 (size, size, 3), for films."""
        return self._camera.view(self._env.data, size)

    def close(self) -> None:
        """Free the simulator and its graphics contexts."""
        self._camera.close()
        self._env.close()
