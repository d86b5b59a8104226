"""Compare plain VLA, ECoT and HyT at equal data and equal compute; goes on where it was stopped.

hyt-train study DATA -o OUT [--episodes 25,250] [--positions N] [--size tiny|small] [--tasks A,B] [--eval-episodes N]
                [--seed S] [--threads N] [--workers N] [--report DIR]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.arguments import whole
from hyt.errors import InputError
from hyt.training.cli.common import needs, one_of, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("study", help="compare plain VLA, ECoT and HyT at equal data and equal compute")
    parser.add_argument("data", type=Path, metavar="DATA", help="a dataset of the simulated arm, by hyt-train collect")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="fits and logs")
    parser.add_argument("--episodes", type=sizes, default="25,250", help="data sizes, episodes a task (%(default)s)")
    parser.add_argument("--positions", type=whole(1), default=2_500_000, help="token positions a fit (%(default)s)")
    parser.add_argument("--size", default="tiny", help="of the network: small or tiny (default: %(default)s)")
    parser.add_argument("--tasks", default="", help="comma-separated; default: all in the data")
    parser.add_argument("--eval-episodes", type=whole(1), default=25, help="seeds a task and mode (%(default)s)")
    parser.add_argument("--batch", type=whole(1), default=32, help="data points a step (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and sampling (default: %(default)s)")
    parser.add_argument("--threads", type=whole(1), default=2, help="of PyTorch (default: %(default)s)")
    parser.add_argument("--workers", type=whole(1), default=2, help="processes of evaluation (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB of images a fit holds (default: %(default)s)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="where study.md and its plots go (default: OUT)")
    parser.set_defaults(run=run)


def sizes(text: str) -> tuple[int, ...]:
    """An argument type: positive numbers separated by commas."""
    size = whole(1)
    return tuple(sorted({size(part) for part in text.split(",")}))


def run(options: argparse.Namespace) -> None:
    """Run what is left of the study and write its report."""
    try:
        import torch

        from hyt.dataset import open_dataset
        from hyt.simulation import seeds
        from hyt.training.evaluation.plot import check_plot
        from hyt.training.model import SIZES
        from hyt.training.study.design import Design, first_episodes, tasks_of
        from hyt.training.study.report import write_report
        from hyt.training.study.run import run_study
    except ImportError as missing:
        raise needs("train", missing) from None
    one_of(SIZES, "size", options.size)
    check_plot(Path("study.svg"))
    folder = options.report or options.output
    if options.report is not None and not folder.is_dir():
        raise InputError(f"report {folder}", expected="an existing folder", received="none", remedy="create it")
    if options.eval_episodes > len(seeds.STUDY):
        raise InputError("--eval-episodes", expected=f"at most {len(seeds.STUDY)}", received=str(options.eval_episodes))
    data = open_dataset(options.data)
    known = tasks_of(data)
    tasks = tuple(options.tasks.split(",")) if options.tasks else known
    if unknown := [task for task in tasks if task not in known]:
        raise InputError(f"task {unknown[0]!r}", expected=f"one in the data: {', '.join(known)}")
    design = Design(
        episodes=options.episodes,
        positions=options.positions,
        size=options.size,
        seed=options.seed,
        tasks=tasks,
        seeds=seeds.STUDY[: options.eval_episodes],
    )
    first_episodes(data, tasks, max(options.episodes))  # too little data shows now, not after the first fits
    torch.set_num_threads(options.threads)
    outcomes = run_study(
        design,
        data,
        options.output,
        workers=options.workers,
        batch=options.batch,
        memory=int(options.memory * 2**30),
        report=report,
    )
    write_report(design, outcomes, _command(options), folder)
    report({"report": str(folder / "study.md")})


def _command(options: argparse.Namespace) -> str:
    """The command that makes this report again."""
    words = ["hyt-train study DATA -o OUT", f"--episodes {','.join(map(str, options.episodes))}"]
    words += [f"--positions {options.positions}", f"--size {options.size}"]
    words += [f"--tasks {options.tasks}"] if options.tasks else []
    words += [f"--eval-episodes {options.eval_episodes}", f"--batch {options.batch}", f"--seed {options.seed}"]
    return " ".join([*words, f"--threads {options.threads}"])
