"""Robots by name: `sim:metaworld/TASK`, and `serial:robot.toml`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from hyt.runtime.contract import Contract
    from hyt.runtime.robot import Robot

SIMULATOR = "sim:metaworld/"
SERIAL = "serial:"


def robot_names(text: str) -> list[str]:
    """Names in `sim:metaworld/a,sim:metaworld/b` or, for short, `sim:metaworld/a,b`; raises InputError for others.

    `serial:PATH` is one robot, whatever stands in its path.
    """
    if text.startswith(SERIAL) and text != SERIAL:
        return [text]
    names: list[str] = []
    for part in text.split(","):
        name = part.strip()
        if names and ":" not in name:
            name = SIMULATOR + name
        if not name.startswith(SIMULATOR) or name == SIMULATOR:
            raise InputError(
                f"robot {name!r}",
                expected=f"{SIMULATOR}TASK or {SERIAL}robot.toml",
                remedy="e.g. sim:metaworld/drawer-open-v3",
            )
        names.append(name)
    return names


def open_robot(
    name: str,
    contract: Contract,
    port: str | None = None,
    *,
    mcu: str = "host",
    real_time: bool = False,
    dry_run: bool = False,
    max_first_jump: float | None = None,
    show: Callable[[str], None] = print,
) -> Robot:
    """Open a robot for a policy of this contract; `port` attaches to a firmware that runs elsewhere, in real time.

    `mcu` is what the simulated arm's own firmware runs on: this computer (`host`) or an emulated one (`qemu`).
    With `real_time` that firmware runs by the clock. `max_first_jump` is what an absolute policy's first setpoint may
    lie from where its axis is. A `dry_run` shows every setpoint and moves nothing. Raises MissingDependencyError
    without the simulator, InputError for an unknown task or a robot that does not fit the contract, LinkError when the
    firmware cannot be reached.
    """
    if name.startswith(SERIAL):
        from hyt.runtime.serial_robot import SerialRobot

        if port is not None:
            raise InputError("--port", expected="no port: robot.toml names it", received=port)
        if mcu != "host":
            raise InputError("--mcu", expected=f"no choice: a {SERIAL} robot has its own", received=mcu)
        if real_time:
            raise InputError("--real-time", expected="a simulated arm: others run by the clock anyway", received=name)
        path = Path(name.removeprefix(SERIAL))
        return SerialRobot(path, contract, dry_run=dry_run, max_first_jump=max_first_jump, show=show)
    if dry_run:
        raise InputError("--dry-run", expected=f"a {SERIAL} robot", received=name, remedy="a simulated arm may move")
    try:
        from hyt.simulation.robot import SimulatedRobot
    except ImportError as problem:
        if (problem.name or "").partition(".")[0] == "hyt":  # ours is there or broken, never missing
            raise
        raise MissingDependencyError(
            f"robot {name!r}",
            expected="the simulator",
            received=str(problem),
            remedy="pip install 'hyt[sim]' and the system packages libegl1 libgl1-mesa-dri",
        ) from None
    except (AttributeError, RuntimeError) as problem:  # what mujoco's import raises without its graphics library
        raise MissingDependencyError(
            f"robot {name!r}",
            expected="headless graphics (MUJOCO_GL=egl or osmesa)",
            received=str(problem),
            remedy="install the system packages libegl1 libgl1-mesa-dri",
        ) from None
    return SimulatedRobot(
        name.removeprefix(SIMULATOR),
        contract,
        port=port,
        mcu=mcu,
        real_time=real_time,
        max_first_jump=max_first_jump,
    )
