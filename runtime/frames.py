"""Gives a policy that looks back its past images: a robot shows the present ones alone.

history = FrameHistory(policy.contract)
history.reset()                                  # where an episode begins
policy.act(history.add(robot.observe()))         # at every decision
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation


class FrameHistory:
    """As many past images of each camera as the contract asks for; without such a camera it changes nothing."""

    def __init__(self, contract: Contract) -> None:
        self._cameras = {camera.name: camera for camera in contract.cameras if camera.frames > 1}
        self._seen: dict[str, deque[NDArray[np.uint8]]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._seen = {n: deque(maxlen=(c.frames - 1) * c.frame_stride + 1) for n, c in self._cameras.items()}

    def add(self, observation: Observation) -> Observation:
        """The observation with the frames of each camera, oldest first; the first image stands for those before it.

        Images that have their frames already pass as they are.
        """
        if not self._cameras:
            return observation
        images = dict(observation.images)
        for name, camera in self._cameras.items():
            if name not in images or images[name].ndim == 4:  # what does not fit is the policy's to refuse
                continue
            seen = self._seen[name]
            seen.append(images[name])
            newest = len(seen) - 1
            back = range((camera.frames - 1) * camera.frame_stride, -1, -camera.frame_stride)
            images[name] = np.stack([seen[max(newest - decisions, 0)] for decisions in back])
        return Observation(images, observation.state)
