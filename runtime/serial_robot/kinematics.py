"""Kinematics adapters: functions of the robot's owner that stand between a policy's space and the robot's axes.

# my_arm/kinematics.py, named in robot.toml as actions = "my_arm.kinematics:inverse"
def inverse(request: KinematicsRequest) -> numpy.ndarray:   # (steps, axes)
    ...
def forward(positions: numpy.ndarray) -> numpy.ndarray:     # (axes,) -> (state dimensions,)
    ...
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyt.errors import HytError, InputError
from hyt.runtime.contract import ActionDimension
from hyt.runtime.serial_robot.description import AxisTable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KinematicsRequest:
    """What an action adapter is given.

    values:     float64 (steps, dimensions), what the policy said, in the units of `dimensions`
    dimensions: name, unit, semantics and frame of each column
    commanded:  float64 (axes,), the setpoint commanded last: what a delta of the last setpoint starts from
    observed:   float64 (axes,), positions when the policy looked: what a delta of the observed state starts from
    step_time:  seconds that each step lasts
    axes:       the robot's axes in the order of the result

    It returns float64 (steps, axes): absolute setpoints at the end of each step, in the axes' units. They are clipped
    to the axes' limits; a pose out of reach is refused by raising `hyt.InputError`.
    """

    values: Array
    dimensions: tuple[ActionDimension, ...]
    commanded: Array
    observed: Array
    step_time: float
    axes: tuple[AxisTable, ...]


def find_adapter(key: str, name: str) -> Callable[..., Array]:
    """The function `module:function`; raises InputError when it cannot be imported or is none."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as problem:  # the import runs the owner's code, which may fail as it likes
        raise InputError(
            f"robot.toml: {key}",
            expected=f"an importable function {name}",
            received=f"{type(problem).__name__}: {problem}",
            remedy="put its folder on PYTHONPATH",
        ) from None
    if not callable(found):
        raise InputError(f"robot.toml: {key}", expected=f"a function {name}", received=type(found).__name__)
    return found  # type: ignore[no-any-return]


def asked(key: str, adapter: Callable[..., object], question: object, shape: tuple[int, ...]) -> Array:
    """An adapter's answer, float64 of this shape; raises InputError when it is none, or the adapter fails."""
    try:
        result = adapter(question)
    except HytError:
        raise
    except Exception as problem:  # the owner's code may fail as it likes, and the robot comes to rest in one way
        raise InputError(
            f"robot.toml: {key}", expected="an answer", received=f"{type(problem).__name__}: {problem}"
        ) from problem
    try:
        array = np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"robot.toml: {key}", expected=f"numbers {shape}", received=type(result).__name__) from None
    if array.shape != shape or not np.isfinite(array).all():
        received = f"shape {array.shape}" if array.shape != shape else "NaN or infinity"
        raise InputError(f"robot.toml: {key}", expected=f"finite numbers of shape {shape}", received=received)
    return array
