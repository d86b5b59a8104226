"""The simulated camera: a fast MuJoCo renderer and the projection of points into its image.

The view is LeRobot's Meta-World view (camera `corner2` at (0.75, 0.075, 0.7), flipped on both axes); the policy sees
the crop of it that holds the workspace. Shadows, reflections and multisampling are off: a frame costs 10 ms, not 200.
"""

from __future__ import annotations

import os

# Chosen before mujoco is first imported: a robot's workstation has no display.
os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
import numpy.typing as npt

CAMERA = "corner2"
_POSITION = (0.75, 0.075, 0.7)
_FULL = 228
_CROP = 128
_CROP_X, _CROP_Y = 62, 46


class WorkspaceCamera:
    """Renders one model; `close()` frees the graphics context."""

    size = _CROP
    """Height and width of `frame()` in pixels."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, CAMERA)
        model.cam_pos[self._camera] = _POSITION
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, 640)
        model.vis.global_.offheight = max(model.vis.global_.offheight, 640)
        self._renderers: dict[int, mujoco.Renderer] = {}

    def frame(self, data: mujoco.MjData) -> npt.NDArray[np.uint8]:
        """The policy's view: uint8 RGB (128, 128, 3), the workspace crop."""
        full = self.view(data, _FULL)
        return np.ascontiguousarray(full[_CROP_Y : _CROP_Y + _CROP, _CROP_X : _CROP_X + _CROP])

    def view(self, data: mujoco.MjData, size: int) -> npt.NDArray[np.uint8]:
        """The whole scene for a person: uint8 RGB (size, size, 3), size at most 640."""
        renderer = self._renderers.get(size)
        if renderer is None:
            renderer = self._renderers[size] = mujoco.Renderer(self._model, size, size)
        renderer.update_scene(data, camera=CAMERA)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        image: npt.NDArray[np.uint8] = renderer.render()
        return image[::-1, ::-1]

    def project(self, data: mujoco.MjData, point: npt.NDArray[np.float64]) -> tuple[float, float]:
        """Pixel (x, y) of a world point (3,) in metres within `frame()`; may lie outside of it."""
        rotation = data.cam_xmat[self._camera].reshape(3, 3)
        x, y, z = rotation.T @ (point - data.cam_xpos[self._camera])
        focal = 0.5 * _FULL / np.tan(np.deg2rad(self._model.cam_fovy[self._camera]) / 2)
        # The image is flipped on both axes, hence the signs.
        column = 0.5 * _FULL - focal * x / -z
        row = 0.5 * _FULL + focal * y / -z
        return float(column - _CROP_X), float(row - _CROP_Y)

    def close(self) -> None:
        """Free the graphics contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
