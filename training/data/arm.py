"""How the simulated arm's episodes lie in a dataset: its layout, and episodes gathered decision by decision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hyt.dataset.episode import Episode
from hyt.dataset.images import encode_png
from hyt.dataset.layout import CameraInfo, Layout, VectorInfo
from hyt.simulation.camera import CAMERA, WorkspaceCamera
from hyt.simulation.metaworld import CONTROL_STEP, METRES_PER_UNIT, MetaWorldArm
from hyt.simulation.tasks import Task
from hyt.simulation.thoughts import sub_instruction, thought

HOLD = 5
"""Control steps for which one decision is held."""

UNITS = np.array([*[HOLD * METRES_PER_UNIT] * 3, 1.0])
"""(4,): what an expert's action of 1 means in the dataset: metres moved in one decision; the gripper's whole effort."""

ARM = Layout(
    fps=1 / (HOLD * CONTROL_STEP),
    cameras=(CameraInfo(CAMERA, WorkspaceCamera.size, WorkspaceCamera.size),),
    state=VectorInfo(("hand_x", "hand_y", "hand_z", "gripper_opening"), ("m", "m", "m", "1")),
    action=VectorInfo(("x", "y", "z", "gripper"), ("m", "m", "m", "1")),
    robot="metaworld",
)


def episode_name(task: str, seed: int, source: str = "expert") -> str:
    """The name of an episode, by which one that is there is known and by whose order they are packed."""
    return f"{source}-{task}-{seed:06d}"


class Recorder:
    """Gathers an episode: what the arm shows at each decision, labelled by the expert.

    Whether it has thoughts and how it phrases its instruction depends on its seed alone.
    """

    def __init__(self, task: Task, seed: int, source: str, thoughts: float) -> None:
        random = np.random.default_rng([seed, *task.name.encode()])
        self.instruction = str(random.choice(task.instructions))
        self._task, self._seed, self._source = task, seed, source
        self.thinks = bool(random.random() < thoughts)
        self._images: list[bytes] = []
        self._states: list[npt.NDArray[np.float32]] = []
        self._actions: list[npt.NDArray[np.float64]] = []
        self._thoughts: list[str] = []
        self._sub_instructions: list[str] = []

    def __len__(self) -> int:
        return len(self._actions)

    def record(
        self, arm: MetaWorldArm
    ) -> tuple[dict[str, npt.NDArray[np.uint8]], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Note the arm's present state; images, state, and the expert's action (4,) in [-1, 1]."""
        images, state = arm.observe()
        action = arm.expert()
        self._images.append(encode_png(images[CAMERA]))
        self._states.append(state)
        self._actions.append(action * UNITS)
        if self.thinks:
            self._thoughts.append(thought(arm))
            self._sub_instructions.append(sub_instruction(arm))
        return images, state, action

    def episode(self) -> Episode:
        """All that was noted."""
        return Episode(
            task=self._task.instructions[0],
            instruction=self.instruction,
            images={CAMERA: self._images},
            states=np.stack(self._states),
            actions=np.stack(self._actions).astype(np.float32),
            thoughts=self._thoughts if self.thinks else None,
            sub_instructions=self._sub_instructions if self.thinks else None,
            seed=self._seed,
            source=self._source,
        )
