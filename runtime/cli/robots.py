"""Robots by name: `sim:metaworld/TASK`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyt.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from hyt.runtime.contract import Contract
    from hyt.simulation.robot import SimulatedRobot

SIMULATOR = "sim:metaworld/"


def robot_names(text: str) -> list[str]:
    """Names in `sim:metaworld/a,sim:metaworld/b` or, for short, `sim:metaworld/a,b`; raises InputError for others."""
    names: list[str] = []
    for part in text.split(","):
        name = part.strip()
        if names and ":" not in name:
            name = SIMULATOR + name
        if not name.startswith(SIMULATOR) or name == SIMULATOR:
            raise InputError(f"robot {name!r}", expected=f"{SIMULATOR}TASK", remedy="e.g. sim:metaworld/drawer-open-v3")
        names.append(name)
    return names


def open_robot(name: str, contract: Contract, port: str | None = None) -> SimulatedRobot:
    """Open a robot for a policy of this contract; `port` attaches to a firmware that runs elsewhere, in real time.

    Raises MissingDependencyError without the simulator, InputError for an unknown task or a robot that does not fit the
    contract, LinkError when the firmware cannot be reached.
    """
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
    return SimulatedRobot(name.removeprefix(SIMULATOR), contract, port=port)
