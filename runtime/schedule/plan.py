"""From one chunk's setpoints to the next one's: what is stale is dropped, what overlaps is blended, a jump is refused.

The firmware refuses chunks that overlap, so all this happens here, on absolute setpoints, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hyt.errors import InputError
from hyt.firmware_bridge import AxisInfo, Interpolation

Array = NDArray[np.float64]


def fresh_rows(points: Array, delay: int, row_ticks: int) -> Array:
    """The rows of a plan (rows, axes) that are not stale when it starts `delay` ticks late; the last is always kept.

    Only for absolute setpoints: motions relative to the last setpoint are not over because time has passed.
    """
    return points[min(max(delay, 0) // row_ticks, len(points) - 1) :]


def blended(points: Array, remainder: Array, rows: int, axes: Sequence[AxisInfo]) -> Array:
    """`points` (n, axes), over the first `rows` of them taking over from `remainder` (m, axes), row by row.

    Where the remainder ends earlier, so does the blending. An axis that holds jumps between its points, so nothing
    between two of them has a meaning: it takes the new ones.
    """
    count = min(rows, len(points), len(remainder))
    if not count:
        return points
    smooth = np.array([axis.interpolation is not Interpolation.HOLD for axis in axes])
    weight = (np.arange(1, count + 1) / (rows + 1))[:, None]  # of the new plan, growing evenly from row to row
    mixed: Array = points.copy()
    mixed[:count] = np.where(smooth, weight * points[:count] + (1 - weight) * remainder[:count], points[:count])
    return mixed


def check_first_jump(
    robot: str, point: Array, places: Sequence[Array], axes: Sequence[AxisInfo], seconds: float, most: float | None
) -> None:
    """Raise InputError where a first setpoint (axes,) is farther from any of `places` than its axis may go in one step.

    places: (axes,) each, such as the setpoint commanded last and the position measured; seconds: that the step lasts;
    most: units that any axis may go, in place of what its velocity limit allows. An axis without such a limit may jump.
    """
    for index, axis in enumerate(axes):
        reach = axis.max_velocity * seconds if most is None else most
        if most is None and axis.max_velocity == 0:
            continue
        distance = max(abs(float(point[index] - place[index])) for place in places)
        if distance > reach * (1 + 1e-6) + 1e-6:  # the wire counts millionths
            raise InputError(
                f"robot {robot!r}: first setpoint of axis {axis.name!r}",
                expected=f"at most {reach:.6g} {axis.unit} from where it is",
                received=f"{distance:.6g} {axis.unit}",
                remedy="bring the arm to where the policy begins, or give --max-first-jump",
            )
