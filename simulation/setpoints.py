"""From an action chunk to the absolute setpoints that the firmware takes, as the contract says for each dimension."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hyt.errors import InputError
from hyt.runtime.contract import ActionDimension, Contract
from hyt.simulation.metaworld import CONTROL_STEP


def control_steps_per_step(contract: Contract) -> int:
    """Control steps of the arm in one step of a chunk; raises InputError when it is no whole number."""
    steps = contract.action.step_time / CONTROL_STEP
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
        raise InputError(
            "action: step_time",
            expected=f"a multiple of the arm's control step of {CONTROL_STEP} s",
            received=f"{contract.action.step_time} s",
        )
    return round(steps)


def check_axes(
    robot: str, dimensions: Sequence[ActionDimension], axes: Sequence[tuple[str, str]], max_points: int, points: int
) -> None:
    """Raise InputError unless the firmware's axes (name, unit) are the contract's dimensions, in the same order.

    points: setpoints of one chunk, over all axes; at most the firmware's max_points.
    """
    wanted = [(dimension.name, dimension.unit) for dimension in dimensions]
    if wanted != list(axes):
        raise InputError(
            f"robot {robot!r}: firmware axes", expected=f"the policy's {_list(wanted)}", received=_list(axes)
        )
    for dimension in dimensions:
        if dimension.semantics == "velocity" or dimension.relative_to == "observed_state":
            raise InputError(
                f"robot {robot!r}: action dimension {dimension.name!r}",
                expected="absolute, or delta relative to last_setpoint",
                received=f"{dimension.semantics} relative to {dimension.relative_to}",
            )
    if points > max_points:
        raise InputError(
            f"robot {robot!r}: setpoints of one chunk", expected=f"at most {max_points}", received=str(points)
        )


def setpoints(
    values: npt.NDArray[np.float32],
    dimensions: Sequence[ActionDimension],
    commanded: npt.NDArray[np.float64],
    limits: npt.NDArray[np.float64],
    control_steps: int,
) -> npt.NDArray[np.float64]:
    """Setpoints (steps * control_steps, axes) at the end of each control step, in physical units.

    values: (steps, axes), what the policy said; commanded: (axes,), the setpoint commanded last; limits: (axes, 2). A
    delta is spread evenly over the control steps of its step and clipped to the limits at each of them, which is how
    the demonstrations were made; an absolute value holds for its whole step.
    """
    point = commanded.copy()
    points = np.empty((len(values) * control_steps, len(dimensions)))
    delta = np.array([dimension.semantics == "delta" for dimension in dimensions])
    for row in range(len(points)):
        step = values[row // control_steps].astype(np.float64)
        point = np.clip(np.where(delta, point + step / control_steps, step), limits[:, 0], limits[:, 1])
        points[row] = point
    return points


def _list(axes: Sequence[tuple[str, str]]) -> str:
    return "[" + ", ".join(f"{name} in {unit}" for name, unit in axes) + "]"
