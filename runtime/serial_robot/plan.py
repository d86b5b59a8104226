"""From a policy's chunk to absolute setpoints of every axis, and from positions to the policy's state."""

from __future__ import annotations

import numpy as np

from hyt.runtime.actions import ActionChunk
from hyt.runtime.contract import Contract
from hyt.runtime.serial_robot.description import Description
from hyt.runtime.serial_robot.kinematics import Array, KinematicsRequest, asked, find_adapter


class Planner:
    """Plans for one robot and one contract, which `fit.check_contract` has found to fit.

    `clipped` counts setpoints that lay outside their axis and were moved to its end.
    """

    def __init__(self, robot: Description, contract: Contract) -> None:
        self._robot, self._dimensions = robot, contract.action.dimensions
        self._limits = np.array([(axis.low, axis.high) for axis in robot.axes])  # (axes, 2)
        self.clipped = 0
        names = robot.kinematics
        self._inverse = find_adapter("kinematics.actions", names.actions) if names.actions else None
        self._forward = find_adapter("kinematics.state", names.state) if names.state else None
        self._columns = [next((m for m in robot.actions if m.dimension == d.name), None) for d in self._dimensions]
        state = contract.state.dimensions if contract.state is not None else ()
        self._state_size = len(state)
        self._state = [next((m for m in robot.state if m.dimension == d.name), None) for d in state]
        # What a lost chunk would shift: all that is said relative to a motion.
        self.relative = any(dimension.semantics != "absolute" for dimension in self._dimensions)

    def setpoints(self, chunk: ActionChunk, commanded: Array, observed: Array, step_time: float) -> Array:
        """float64 (steps, axes): absolute setpoints at the end of each step, within the axes' limits.

        commanded: (axes,), the setpoint commanded last; observed: (axes,), positions when the policy looked. An
        absolute value is the setpoint itself. A delta of the last setpoint is added to the step before, one of the
        observed state to `observed`, whichever step it is. A velocity is added for `step_time` seconds to the step
        before. An axis that no dimension drives keeps its setpoint. Raises InputError when a kinematics adapter fails
        its promise.
        """
        values = chunk.values.astype(np.float64)  # (steps, dimensions)
        if self._inverse is not None:
            request = KinematicsRequest(
                values, self._dimensions, commanded.copy(), observed.copy(), step_time, self._robot.axes
            )
            shape = (len(values), len(self._robot.axes))
            return self._within(asked("kinematics.actions", self._inverse, request, shape))
        points = np.empty((len(values), len(self._robot.axes)))
        point = commanded.copy()
        for row, step in enumerate(values):
            for value, dimension, mapping in zip(step, self._dimensions, self._columns, strict=True):
                assert mapping is not None  # check_contract has seen to it
                axis = self._robot.axis(mapping.axis)
                scaled = value * mapping.scale
                if dimension.semantics == "absolute":
                    point[axis] = scaled + mapping.offset
                elif dimension.semantics == "velocity":
                    point[axis] += scaled * step_time
                elif dimension.relative_to == "last_setpoint":
                    point[axis] += scaled
                else:
                    point[axis] = observed[axis] + scaled
            # Clipped at each step: a delta beyond the end is not owed to the steps that follow.
            point = self._within(point)
            points[row] = point
        return points

    def state(self, positions: Array) -> Array:
        """float64 (state dimensions,): the policy's state at these positions (axes,)."""
        if self._forward is not None:
            return asked("kinematics.state", self._forward, positions.copy(), (self._state_size,))
        state = np.empty(self._state_size)
        for index, mapping in enumerate(self._state):
            assert mapping is not None
            state[index] = positions[self._robot.axis(mapping.axis)] * mapping.scale + mapping.offset
        return state

    def _within(self, points: Array) -> Array:
        clipped = np.clip(points, self._limits[:, 0], self._limits[:, 1])
        self.clipped += int((clipped != points).sum())
        return clipped
