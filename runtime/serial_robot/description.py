"""robot.toml: what a robot is, as checked objects; every refusal is one line that names the key.

[robot]
name = "desk-arm"
instruction = "open the drawer"     # optional: what to do without --instruction

[port]
device = "/dev/serial/by-id/usb-..."  # or by-id:TEXT, tcp://HOST:PORT, or virtual: for a firmware on this computer
baudrate = 115200

[firmware]                          # as it was built; compared with what it says of itself at connect
tick_hz = 1000
link_timeout_ticks = 200
underrun_timeout_ticks = 0
stop_action = "hold"                # hold, decelerate or release

[[axes]]                            # in the firmware's order
name = "shoulder"
unit = "rad"
low = -1.5
high = 1.5
max_velocity = 2.0                  # unit/s; 0: no limit
max_acceleration = 10.0             # unit/s^2; 0: no limit
interpolation = "linear"            # linear, cubic or hold
frame = "joint"                     # in which the axis moves, as in the policy's contract; "world" for a gantry
initial = 0.0                       # setpoint at boot, of a virtual: firmware alone

[[actions]]                         # setpoint of the axis = scale * what the policy says + offset
dimension = "shoulder"              # of the policy
axis = "shoulder"
scale = 1.0                         # axis units in one unit of the dimension
offset = 0.0                        # axis units; for absolute dimensions only

[[state]]                           # state of the policy = scale * position of the axis + offset
dimension = "shoulder"
axis = "shoulder"
scale = 1.0
offset = 0.0

[kinematics]                        # in place of [[actions]] and [[state]] where axes are not what the policy knows
actions = "my_arm.kinematics:inverse"
state = "my_arm.kinematics:forward"

[[cameras]]                         # sources and further keys: runtime/cameras/table.py
name = "front"                      # of the policy
source = "video:/dev/video0"        # or csi:0, video:FILE, images:FOLDER (in turn), newest:FOLDER (the last file)
max_age = 0.5                       # seconds; an older image stops the run
frozen_after = 2.0                  # seconds; a picture that does not change for longer stops the run; 0: never
resize = false                      # scale to the policy's size, in place of refusing another
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hyt.errors import InputError
from hyt.firmware_bridge.constants import MAX_AXES
from hyt.firmware_bridge.process import AxisConfig, FirmwareConfig
from hyt.runtime.cameras import CameraTable
from hyt.runtime.contract import Finite, Name, first_problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Limit = Annotated[float, Field(ge=0, le=2147, allow_inf_nan=False)]
Position = Annotated[float, Field(ge=-2147, le=2147, allow_inf_nan=False)]
Ticks = Annotated[int, Field(ge=0, lt=2**32)]
Function = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RobotTable(_Strict):
    """What the robot is called and, optionally, what it is to do."""

    name: Name
    instruction: str | None = None


class PortTable(_Strict):
    """Where its firmware is reached."""

    device: Name
    baudrate: Annotated[int, Field(ge=1, le=10**8)] = 115200


class FirmwareTable(_Strict):
    """How its firmware was built; timeouts in ticks."""

    tick_hz: Annotated[int, Field(ge=1, le=100_000)]
    link_timeout_ticks: Annotated[int, Field(ge=1, lt=2**32)]
    underrun_timeout_ticks: Ticks = 0
    stop_action: Literal["hold", "decelerate", "release"] = "hold"


class AxisTable(_Strict):
    """One axis of the firmware."""

    name: Annotated[str, Field(pattern=r"^[!-~]{1,16}$")]
    unit: Annotated[str, Field(pattern=r"^[!-~]{0,8}$")]
    low: Position
    high: Position
    max_velocity: Limit
    max_acceleration: Limit
    interpolation: Literal["linear", "cubic", "hold"] = "linear"
    frame: Name = "joint"
    initial: Position = 0.0

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> AxisTable:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, received {self.low:g} and {self.high:g}")
        return self


class Mapping(_Strict):
    """A dimension of the policy and the axis that stands for it."""

    dimension: Name
    axis: Name
    scale: Finite = 1.0
    offset: Finite = 0.0

    @field_validator("scale")
    @classmethod
    def _scale_is_not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("scale must not be 0")
        return scale


class KinematicsTable(_Strict):
    """Adapters, each `module:function`; see kinematics.py for what they are given and return."""

    actions: Function | None = None
    state: Function | None = None


class Description(_Strict):
    """The content of robot.toml."""

    robot: RobotTable
    port: PortTable
    firmware: FirmwareTable
    axes: Annotated[tuple[AxisTable, ...], Field(min_length=1, max_length=MAX_AXES, strict=False)]
    actions: Annotated[tuple[Mapping, ...], Field(strict=False)] = ()
    state: Annotated[tuple[Mapping, ...], Field(strict=False)] = ()
    kinematics: KinematicsTable = KinematicsTable()
    cameras: Annotated[tuple[CameraTable, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Description:
        axes = [axis.name for axis in self.axes]
        _differ("axes", axes)
        for key, mappings, adapter in (
            ("actions", self.actions, self.kinematics.actions),
            ("state", self.state, self.kinematics.state),
        ):
            if mappings and adapter:
                raise ValueError(f"[[{key}]] and kinematics.{key} must not both be given")
            _differ(key, [mapping.dimension for mapping in mappings])
            for mapping in mappings:
                if mapping.axis not in axes:
                    raise ValueError(f"[[{key}]] {mapping.dimension!r} names no axis: {mapping.axis!r}")
        _differ("actions, axis", [mapping.axis for mapping in self.actions])
        _differ("cameras", [camera.name for camera in self.cameras])
        return self

    def axis(self, name: str) -> int:
        """Index of the axis of this name."""
        return [axis.name for axis in self.axes].index(name)

    def firmware_config(self) -> FirmwareConfig:
        """A firmware for this computer with these axes and timeouts."""
        axes = [
            AxisConfig(a.name, a.unit, a.low, a.high, a.max_velocity, a.max_acceleration, a.interpolation, a.initial)
            for a in self.axes
        ]
        return FirmwareConfig(
            axes,
            tick_hz=self.firmware.tick_hz,
            link_timeout_ticks=self.firmware.link_timeout_ticks,
            underrun_timeout_ticks=self.firmware.underrun_timeout_ticks,
            stop_action=self.firmware.stop_action,
        )


def read_description(path: Path) -> Description:
    """Read robot.toml; raises InputError that names the first bad key. Folders of cameras are relative to it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise InputError(f"{path}", expected="a robot.toml", received=problem.strerror or str(problem)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise InputError(f"{path}", expected="TOML", received=str(problem)) from None
    try:
        return Description.model_validate(data)
    except ValidationError as problem:
        key, message = first_problem(problem)
        key = "robot.toml" if key == "contract" else f"key {key}"
        raise InputError(f"{path}: {key}", expected="a valid description", received=message) from None


def _differ(key: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{key}: {twice!r} stands there twice")
