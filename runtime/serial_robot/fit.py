"""What must agree before anything moves: a robot.toml with the policy's contract, and with the firmware's own words."""

from __future__ import annotations

from collections.abc import Sequence

from hyt.errors import InputError
from hyt.firmware_bridge import LinkInfo
from hyt.firmware_bridge.constants import MICRO
from hyt.runtime.contract import ActionDimension, Contract, StateDimension
from hyt.runtime.serial_robot.description import Description, Mapping

# A step is a whole number of ticks; one of 33.33 ms at 1000 Hz is 33, which is 1% off.
LARGEST_STEP_ERROR = 0.02


def check_contract(robot: Description, contract: Contract) -> None:
    """Raise InputError where the policy and the robot do not fit, naming the key of robot.toml."""
    _check_cameras(robot, contract)
    if robot.kinematics.actions is None:
        _check_names(robot, "actions", robot.actions, contract.action.dimensions)
        for dimension in contract.action.dimensions:
            _check_action(robot, dimension)
    if robot.kinematics.state is None:
        state = contract.state.dimensions if contract.state is not None else ()
        _check_names(robot, "state", robot.state, state)
        for mapping, wanted in zip(_ordered(robot.state, state), state, strict=True):
            _check_unit(robot, "state", mapping, wanted.unit, robot.axes[robot.axis(mapping.axis)].unit)
    step_ticks(robot, contract)


def step_ticks(robot: Description, contract: Contract) -> int:
    """Ticks of one step of a chunk; raises InputError when the firmware's tick is too coarse for it."""
    exact = contract.action.step_time * robot.firmware.tick_hz
    ticks = round(exact)
    if not 1 <= ticks <= 0xFFFF or abs(ticks - exact) > LARGEST_STEP_ERROR * exact:
        raise InputError(
            f"robot {robot.robot.name!r}: firmware.tick_hz",
            expected=f"whole ticks in the policy's step of {contract.action.step_time:g} s",
            received=f"{exact:g} at {robot.firmware.tick_hz} Hz",
            remedy="build the firmware with another tick rate",
        )
    return ticks


def check_firmware(robot: Description, info: LinkInfo) -> None:
    """Raise InputError at the first thing in which the firmware is not what robot.toml says."""
    firmware = robot.firmware
    pairs: list[tuple[str, object, object]] = [
        ("firmware.tick_hz", firmware.tick_hz, info.tick_hz),
        ("firmware.link_timeout_ticks", firmware.link_timeout_ticks, info.link_timeout_ticks),
        ("firmware.underrun_timeout_ticks", firmware.underrun_timeout_ticks, info.underrun_timeout_ticks),
        ("firmware.stop_action", firmware.stop_action, info.stop_action.name.lower()),
        ("axes", [axis.name for axis in robot.axes], [axis.name for axis in info.axes]),
    ]
    for index, (said, found) in enumerate(zip(robot.axes, info.axes, strict=False)):
        key = f"axes.{index}"
        pairs += [
            (f"{key}.unit", said.unit, found.unit),
            (f"{key}.interpolation", said.interpolation, found.interpolation.name.lower()),
        ]
        for name in ("low", "high", "max_velocity", "max_acceleration"):
            # In the wire's micro-units, so that only what the firmware can tell apart counts.
            a, b = (round(float(getattr(axis, name)) * MICRO) / MICRO for axis in (said, found))
            pairs.append((f"{key}.{name}", a, b))
    for key, said_value, found_value in pairs:
        if said_value != found_value:
            raise InputError(
                f"robot {robot.robot.name!r}: {key}",
                expected=f"the firmware to have {_text(said_value)}, as robot.toml says",
                received=_text(found_value),
                remedy="correct robot.toml, or flash the firmware that it describes",
            )
    if info.lockstep:
        raise InputError(
            f"robot {robot.robot.name!r}: firmware", expected="one that runs in real time", received="one in lockstep"
        )


def _check_cameras(robot: Description, contract: Contract) -> None:
    given, wanted = [c.name for c in robot.cameras], [c.name for c in contract.cameras]
    if sorted(given) != sorted(wanted):
        raise InputError(
            f"robot {robot.robot.name!r}: cameras",
            expected=f"the policy's {_text(wanted)}",
            received=_text(given),
            remedy="give one [[cameras]] for each in robot.toml",
        )


def _check_names(
    robot: Description, key: str, mappings: Sequence[Mapping], wanted: Sequence[ActionDimension | StateDimension]
) -> None:
    given, names = [m.dimension for m in mappings], [d.name for d in wanted]
    if sorted(given) != sorted(names):
        raise InputError(
            f"robot {robot.robot.name!r}: {key}",
            expected=f"the policy's dimensions {_text(names)}",
            received=_text(given),
            remedy=f"give one [[{key}]] for each in robot.toml, or kinematics.{key}",
        )


def _check_action(robot: Description, dimension: ActionDimension) -> None:
    mapping = next(m for m in robot.actions if m.dimension == dimension.name)
    axis = robot.axes[robot.axis(mapping.axis)]
    subject = f"robot {robot.robot.name!r}: actions {dimension.name!r}"
    if dimension.frame != axis.frame:
        raise InputError(
            subject,
            expected=f"an axis that moves in the policy's frame {dimension.frame!r}",
            received=f"axis {axis.name!r} in frame {axis.frame!r}",
            remedy="name a kinematics adapter in kinematics.actions, or correct the axis' frame",
        )
    if dimension.semantics != "absolute" and mapping.offset:
        raise InputError(
            f"{subject}: offset", expected=f"0 for a {dimension.semantics}", received=f"{mapping.offset:g}"
        )
    _check_unit(
        robot, "actions", mapping, dimension.unit, axis.unit + ("/s" if dimension.semantics == "velocity" else "")
    )


def _check_unit(robot: Description, key: str, mapping: Mapping, policy: str, axis: str) -> None:
    if mapping.scale == 1.0 and _bare(policy) != _bare(axis):
        raise InputError(
            f"robot {robot.robot.name!r}: {key} {mapping.dimension!r}",
            expected=f"the axis' unit {axis or '1'!r}",
            received=f"the policy's {policy or '1'!r}",
            remedy="give the scale between them",
        )


def _bare(unit: str) -> str:
    return "" if unit == "1" else unit


def _ordered(mappings: Sequence[Mapping], dimensions: Sequence[StateDimension]) -> list[Mapping]:
    by_name = {mapping.dimension: mapping for mapping in mappings}
    return [by_name[dimension.name] for dimension in dimensions]


def _text(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else f"{value}"
