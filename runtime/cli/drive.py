"""hyt-run drive: let a policy drive a robot and say how it went."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from hyt.arguments import above_zero, share, whole
from hyt.errors import HytError, InputError
from hyt.runtime.cli.arming import confirm_arming
from hyt.runtime.cli.loading import add_loading_options, load_policy
from hyt.runtime.cli.output import check_output, describe_bundle, machine, versions, write_json
from hyt.runtime.cli.realtime_options import add_realtime_options, realtime_from
from hyt.runtime.cli.recording import open_recorder
from hyt.runtime.cli.results import RobotResult, results_table
from hyt.runtime.cli.robots import SERIAL, open_robot, robot_names
from hyt.runtime.cli.schedule_options import add_schedule_options, schedule_from, thinking_from
from hyt.runtime.cli.tally import Tally
from hyt.runtime.cli.watching import Watching
from hyt.runtime.controls import Controls
from hyt.runtime.listener import EpisodeResult, Listener
from hyt.runtime.loop import run_episode
from hyt.runtime.policy import Policy, require_gate
from hyt.runtime.schedule import Schedule
from hyt.runtime.serial_robot import SerialRobot
from hyt.runtime.view.web import read_address

if TYPE_CHECKING:
    from hyt.runtime.record.recorder import Recorder
    from hyt.runtime.robot import Robot

FIRST_SEED = 2_000_000
"""No policy of this project was trained on seeds from here on (`hyt.simulation.seeds.DEMONSTRATION`)."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("drive", help="drive a robot with a policy and report its success")
    parser.add_argument("bundle", metavar="NAME.hyt", help="the policy")
    parser.add_argument(
        "--robot", required=True, help="sim:metaworld/TASK, several tasks separated by commas; or serial:robot.toml"
    )
    parser.add_argument("--instruction", help="what to do (default: the task's own; in follow: the onlooker's words)")
    parser.add_argument(
        "--mode",
        choices=("act", "think", "follow", "gate"),
        default="act",
        help="how to decide: at once, behind a thought, by words to follow, or behind a thought where the policy's "
        "gate says that it helps (default act)",
    )
    parser.add_argument(
        "--think",
        metavar="WHEN",
        help="beside the actions, which do not wait for it: never (default), every=N decisions, rate=R a minute, or "
        "gate: where the policy's gate says that it helps; always is --mode think",
    )
    parser.add_argument(
        "--gate-threshold",
        type=share,
        metavar="P",
        help="with a gate: think from this probability on, 0 to 1 (default: the policy's own)",
    )
    parser.add_argument("--episodes", type=whole(1), default=1, metavar="N", help="episodes a robot (default 1)")
    parser.add_argument(
        "--seed",
        type=whole(0),
        default=FIRST_SEED,
        help="of the first episode; the next counts on (default %(default)s)",
    )
    parser.add_argument("--record", type=Path, metavar="DIR", help="a recording of each episode, for hyt-run replay")
    parser.add_argument("--film", type=Path, metavar="DIR", help="filmstrip and video of each robot's first episode")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results; one that is there is replaced")
    parser.add_argument("--port", help="firmware on this port, in real time (default: an own one, in lockstep)")
    parser.add_argument("--real-time", action="store_true", help="a simulated arm's own firmware runs by the clock")
    parser.add_argument(
        "--max-first-jump",
        type=above_zero,
        metavar="D",
        help="units that a first absolute setpoint may lie from where its axis is (default: what its speed allows)",
    )
    parser.add_argument(
        "--mcu",
        choices=("host", "qemu"),
        default="host",
        help="what a simulated arm's own firmware runs on: this computer, or an emulated Cortex-M3 (default host)",
    )
    parser.add_argument("--decisions", type=whole(1), default=200, help="decisions an episode at most (default 200)")
    parser.add_argument("--dry-run", action="store_true", help="serial: show every setpoint, arm and move nothing")
    parser.add_argument("--yes", action="store_true", help="serial: arm without asking")
    parser.add_argument(
        "--view",
        metavar="[HOST]:PORT",
        help="a web page that shows the run and stops it; without HOST for this computer alone, :0 finds a free port",
    )
    parser.add_argument("--no-view", action="store_true", help="no live view in the terminal")
    add_schedule_options(parser)
    add_loading_options(parser)
    add_realtime_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Drive every robot and print the table."""
    thinking = thinking_from(options.think, options.gate_threshold)
    if options.think == "always" and options.mode not in ("act", "think"):
        raise InputError("--think always", expected="--mode think", received=f"--mode {options.mode}")
    options.mode = "think" if options.think == "always" else options.mode
    gated = options.mode == "gate" or thinking.when == "gate"
    if options.gate_threshold is not None and not gated:
        raise InputError(
            "--gate-threshold", expected="--mode gate or --think gate with it", received=f"--mode {options.mode}"
        )
    schedule = schedule_from(options, thinking)
    names = robot_names(options.robot)
    if options.port is not None and len(names) > 1:
        raise InputError("--port", expected="one robot", received=f"{len(names)}", remedy="drive one task at a time")
    check_output(options.json)
    check_output(options.record, folder=True)
    check_output(options.film, folder=True)
    page = None if options.view is None else read_address(options.view)
    console = Console()
    if options.film is not None and names[0].startswith(SERIAL):
        raise InputError("--film", expected="a simulated robot", received=names[0])
    live = not (options.no_view or options.dry_run)
    with (
        realtime_from(options) as real_time,
        load_policy(options) as policy,
        real_time.settled(),
        Watching(
            console,
            Controls(policy.readable, thinks=policy.contract.modalities.think is not None),
            live=live,
            page=page,
        ) as watching,
    ):
        if gated:
            require_gate(policy.contract)
        schedule.period_steps(policy.contract.action)  # what does not fit is refused before anything is armed
        results: list[RobotResult] = []
        ended = "done"
        recorder: Recorder | None = None
        try:
            with open_recorder(policy, options) as recorder:
                for name in names:
                    show = partial(console.print, markup=False, highlight=False, soft_wrap=True)
                    with (
                        closing(
                            open_robot(
                                name,
                                policy.contract,
                                options.port,
                                mcu=options.mcu,
                                real_time=options.real_time,
                                dry_run=options.dry_run,
                                max_first_jump=options.max_first_jump,
                                show=show,
                            )
                        ) as robot,
                        ExitStack() as stack,
                    ):
                        if isinstance(robot, SerialRobot):
                            if not (options.yes or options.dry_run):
                                confirm_arming(robot.where)
                            stack.enter_context(options.interrupts.at_once(robot.rest))
                        drive(policy, robot, options, watching, results, schedule, recorder)
            console.print(results_table(results))
        except KeyboardInterrupt:
            ended = "interrupted"
            raise
        except HytError as problem:
            ended = str(problem)
            raise
        finally:
            # What has been driven was driven: an interrupt or a fault loses none of it.
            if options.json is not None and (results or ended == "done"):
                report = {
                    "command": "drive",
                    "ended": ended,
                    "bundle": describe_bundle(policy.bundle),
                    "backend": policy.info["backend"],
                    "gate": _describe_gate(policy, options),
                    "schedule": schedule.as_dict(),
                    "real_time": options.real_time,
                    "robots": [result.as_dict() for result in results],
                    "recording": None if recorder is None else recorder.report(),
                    "versions": versions(),
                    "machine": machine(),
                }
                write_json(options.json, report)


def drive(
    policy: Policy,
    robot: Robot,
    options: argparse.Namespace,
    watching: Watching,
    results: list[RobotResult],
    schedule: Schedule,
    recorder: Recorder | None,
) -> None:
    """All episodes of one robot; what was driven is put into `results`, whatever ends it."""
    instruction = options.instruction if options.mode != "follow" else None
    if instruction is None:
        instruction = robot.instruction
    if instruction is None:
        raise InputError(
            f"robot {robot.name!r}", expected="an instruction", received="none", remedy="give --instruction"
        )
    said = options.instruction
    episodes: list[EpisodeResult] = []
    with ExitStack() as stack:
        beside = "" if options.think in (None, "never", "always") else f", think {options.think}"
        watchers = stack.enter_context(
            watching.robot(robot, modality=f"{options.mode}{beside}", episodes=options.episodes)
        )
        tally = Tally()
        stack.callback(
            lambda: results.append(
                RobotResult(
                    robot.name,
                    instruction if said is None else said,
                    options.mode,
                    episodes,
                    robot.counters(),
                    tally.unfinished(),
                    robot.judges,
                )
            )
        )
        stack.enter_context(watching.controls.driving(robot))
        for index in range(options.episodes):
            listeners: list[Listener] = [*watchers, tally]
            if recorder is not None:
                recorder.attend(robot.name, options.mode)
                listeners.append(recorder)
            if options.film is not None and index == 0:
                listeners.append(_film(robot, options))
            episodes.append(
                run_episode(
                    policy,
                    robot,
                    instruction=instruction,
                    modality=options.mode,
                    seed=options.seed + index,
                    max_decisions=options.decisions,
                    sub_instruction=None if said is None else (lambda _: said),
                    gate_threshold=options.gate_threshold,
                    listeners=listeners,
                    controls=watching.controls,
                    schedule=schedule,
                )
            )


def _describe_gate(policy: Policy, options: argparse.Namespace) -> dict[str, float] | None:
    if "gate" not in (options.mode, options.think):
        return None
    own = require_gate(policy.contract).threshold
    return {"threshold": own if options.gate_threshold is None else options.gate_threshold}


def _film(robot: Robot, options: argparse.Namespace) -> Listener:
    from hyt.simulation.film import FilmRecorder
    from hyt.simulation.robot import SimulatedRobot

    assert isinstance(robot, SimulatedRobot)  # `run` refuses to film others
    options.film.mkdir(exist_ok=True)
    return FilmRecorder(robot, options.film, options.mode)
