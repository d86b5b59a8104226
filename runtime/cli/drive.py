"""hyt-run drive: let a policy drive a robot and say how it went."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from hyt.errors import InputError
from hyt.runtime.cli.output import check_output, describe_bundle, machine, versions, write_json
from hyt.runtime.cli.results import RobotResult, results_table
from hyt.runtime.cli.robots import open_robot, robot_names
from hyt.runtime.loop import EpisodeResult, Listener, run_episode
from hyt.runtime.policy import Policy, load
from hyt.runtime.view import View

if TYPE_CHECKING:
    from hyt.simulation.robot import SimulatedRobot

FIRST_SEED = 2_000_000
"""No policy of this project was trained on seeds from here on (`hyt.simulation.seeds.DEMONSTRATION`)."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("drive", help="drive a robot with a policy and report its success")
    parser.add_argument("bundle", metavar="NAME.hyt")
    parser.add_argument("--robot", required=True, help="sim:metaworld/TASK; several tasks separated by commas")
    parser.add_argument("--instruction", help="what to do (default: the task's own; in follow: the onlooker's words)")
    parser.add_argument("--mode", choices=("act", "think", "follow"), default="act")
    parser.add_argument("--episodes", type=_positive, default=1, metavar="N", help="episodes a robot (default 1)")
    parser.add_argument("--seed", type=_seed, default=FIRST_SEED, help="seed of the first episode; the next counts on")
    parser.add_argument("--record", type=Path, metavar="DIR", help="filmstrip and video of each robot's first episode")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of the core (default: all physical cores but one, at most 8)"
    )
    parser.add_argument("--port", help="firmware on this port, in real time (default: an own one, in lockstep)")
    parser.add_argument("--no-view", action="store_true", help="no live view")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Drive every robot and print the table."""
    names = robot_names(options.robot)
    if options.port is not None and len(names) > 1:
        raise InputError("--port", expected="one robot", received=f"{len(names)}", remedy="drive one task at a time")
    check_output(options.json)
    check_output(options.record, folder=True)
    console = Console()
    with load(options.bundle, threads=options.threads) as policy:
        policy.warm_up()
        results = []
        for name in names:
            with closing(open_robot(name, policy.contract, options.port)) as robot:
                results.append(drive(policy, robot, options, console))
        console.print(results_table(results))
        if options.json is not None:
            report = {
                "command": "drive",
                "bundle": describe_bundle(policy.bundle),
                "backend": policy.info["backend"],
                "robots": [result.as_dict() for result in results],
                "versions": versions(),
                "machine": machine(),
            }
            write_json(options.json, report)


def drive(policy: Policy, robot: SimulatedRobot, options: argparse.Namespace, console: Console) -> RobotResult:
    """All episodes of one robot."""
    instruction = options.instruction if options.mode != "follow" else None
    instruction = instruction or robot.instruction
    said = options.instruction
    episodes: list[EpisodeResult] = []
    with ExitStack() as stack:
        view = View(
            console,
            robot=robot.name,
            modality=options.mode,
            episodes=options.episodes,
            counters=robot.counters,
            live=not options.no_view,
        )
        stack.enter_context(view)
        for index in range(options.episodes):
            listeners: list[Listener] = [view]
            if options.record is not None and index == 0:
                listeners.append(_recorder(robot, options))
            episodes.append(
                run_episode(
                    policy,
                    robot,
                    instruction=instruction,
                    modality=options.mode,
                    seed=options.seed + index,
                    sub_instruction=(lambda: said) if said else None,
                    listeners=listeners,
                )
            )
    return RobotResult(robot.name, said or instruction, options.mode, episodes, robot.counters())


def _recorder(robot: SimulatedRobot, options: argparse.Namespace) -> Listener:
    from hyt.simulation.film import FilmRecorder

    options.record.mkdir(exist_ok=True)
    return FilmRecorder(robot, options.record, options.mode)


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
