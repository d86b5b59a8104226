"""robot.toml files and contracts for the tests of serial robots: a gantry that the shipped policy can drive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hyt.runtime.actions import ActionChunk
from hyt.runtime.contract import Contract

POLICY = Path(__file__).parents[3] / "policies" / "metaworld-arm"

GANTRY = """
[robot]
name = "gantry"
instruction = "open the drawer"

[port]
device = "{port}"

[firmware]
tick_hz = 400
link_timeout_ticks = {link_timeout}
stop_action = "hold"

{axes}
[[actions]]
dimension = "x"
axis = "x"

[[actions]]
dimension = "y"
axis = "y"

[[actions]]
dimension = "z"
axis = "z"

[[actions]]
dimension = "gripper"
axis = "gripper"

[[state]]
dimension = "hand_x"
axis = "x"

[[state]]
dimension = "hand_y"
axis = "y"

[[state]]
dimension = "hand_z"
axis = "z"

[[state]]
dimension = "gripper_opening"
axis = "gripper"
scale = 0.5
offset = 0.5

[[cameras]]
name = "corner2"
source = "images:frames"
"""

VELOCITY, ACCELERATION, HZ = 0.02, 0.1, 400  # of slow_gantry_text: units/s, units/s^2, ticks/s
AXES = [("x", "m", -0.5, 0.5, 0.0), ("y", "m", 0.4, 1.0, 0.6), ("z", "m", 0.0, 0.5, 0.2), ("gripper", "1", -1, 1, 0)]


def gantry_text(port: str = "virtual:", link_timeout: int = 400) -> str:
    """robot.toml of a gantry with the shipped policy's dimensions."""
    axes = ""
    for name, unit, low, high, initial in AXES:
        frame = "gripper" if name == "gripper" else "world"
        axes += f'[[axes]]\nname = "{name}"\nunit = "{unit}"\nlow = {low}\nhigh = {high}\nmax_velocity = 0\n'
        axes += f'max_acceleration = 0\nframe = "{frame}"\ninitial = {initial}\n\n'
    return GANTRY.format(port=port, axes=axes, link_timeout=link_timeout)


def slow_gantry_text(port: str = "virtual:", source: str = "images:frames") -> str:
    """The gantry with axes so slow that they are under way for all of a short run, and decelerate when it ends.

    Whatever ends it, the trace shows it: they come from VELOCITY to rest by ACCELERATION.
    """
    text = gantry_text(port)
    for before, after in (
        ("max_velocity = 0", f"max_velocity = {VELOCITY}"),
        ("max_acceleration = 0", f"max_acceleration = {ACCELERATION}"),
        ('stop_action = "hold"', 'stop_action = "decelerate"'),
        ('source = "images:frames"', f'source = "{source}"'),
    ):
        assert before in text
        text = text.replace(before, after)
    return text


def write_robot(folder: Path, text: str | None = None) -> Path:
    """robot.toml and three frames of 128 pixels beside it."""
    import cv2

    frames = folder / "frames"
    frames.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(3):
        cv2.imwrite(str(frames / f"{index}.png"), random.integers(0, 256, (128, 128, 3), dtype=np.uint8))
    path = folder / "robot.toml"
    path.write_text(gantry_text() if text is None else text)
    return path


def contract(**changes: Any) -> Contract:
    """The shipped policy's contract; `dimensions` changes the fields of each action dimension by name, and `steps`."""
    data = json.loads((POLICY / "hyt.json").read_text())
    for name, fields in changes.get("dimensions", {}).items():
        next(d for d in data["action"]["dimensions"] if d["name"] == name).update(fields)
    data["action"]["steps"] = changes.get("steps", data["action"]["steps"])
    data["action"]["step_time"] = changes.get("step_time", data["action"]["step_time"])
    return Contract.model_validate(data)


def chunk_of(of: Contract, values: Any) -> ActionChunk:
    """A chunk with these values (steps, dims)."""
    array = np.asarray(values, np.float32)
    tokens = np.zeros(array.size, np.int32)
    return ActionChunk(array, of.action.step_time, tokens, np.ones(array.size, np.float32), of.action.dimensions)
