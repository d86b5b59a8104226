"""Fit a policy from random init or from a checkpoint; goes on where an interrupted fit stopped.

hyt-train fit DATA -o CHECKPOINT [--method hyt|vla|ecot] [--weights A,T,F] [--packed] [--steps N | --positions N]
              [--init CHECKPOINT [--lora RANK] | --size small|tiny] [--head tokens|continuous]
              [--chunk-steps N] [--batch N] [--learning-rate R] [--seed S] [--threads N] ...

On several machines or GPUs: accelerate launch -m hyt.training.cli fit ...
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.arguments import whole
from hyt.training.cli.common import needs, one_of, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("fit", help="fit a policy; goes on where an interrupted fit stopped")
    parser.add_argument("data", type=Path, metavar="DATA", help="a dataset")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--name", help="of the policy (default: the last part of CHECKPOINT, or that of --init)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--init", type=Path, metavar="CHECKPOINT", help="start from these weights, not random ones")
    start.add_argument("--size", default="small", help="of a random start: small or tiny (default: %(default)s)")
    parser.add_argument(
        "--head",
        choices=("tokens", "continuous"),
        help="how actions are said: tokens, or numbers regressed in one pass (default: tokens, or as in --init)",
    )
    parser.add_argument(
        "--chunk-steps", type=whole(1), metavar="N", help="steps of a chunk (default: 1, or as in --init)"
    )
    method = parser.add_mutually_exclusive_group()
    method.add_argument("--method", default="hyt", help="hyt, vla or ecot: names for --weights (default: %(default)s)")
    method.add_argument("--weights", type=shares, metavar="A,T,F", help="how often act, think and follow are drawn")
    parser.add_argument("--packed", action="store_true", help="train act and think of a data point on one prefix")
    parser.add_argument("--thought-token", type=float, default=0.2, help="weight in the loss (default: %(default)s)")
    parser.add_argument("--action-token", type=float, default=1.0, help="weight in the loss (default: %(default)s)")
    parser.add_argument(
        "--follow-shares",
        type=shares,
        metavar="T,S,M",
        default=(0.3, 0.5, 0.2),
        help="how often follow is given a thought, its sub-instruction, its motion (default: 0.3,0.5,0.2)",
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=whole(1), default=3500, help="optimiser steps (default: %(default)s)")
    budget.add_argument("--positions", type=whole(1), default=0, help="processed token positions in place of steps")
    parser.add_argument("--lora", type=int, default=0, metavar="RANK", help="train low-rank adapters (default: all)")
    parser.add_argument("--batch", type=whole(1), default=32, help="data points a step (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="highest (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=0.05, help="part of the budget (default: %(default)s)")
    parser.add_argument("--decay", type=float, default=0.4, help="part of the budget (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and sampling (default: %(default)s)")
    parser.add_argument("--threads", type=whole(1), default=2, help="of PyTorch (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that read ahead (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=4.0, help="GiB of images held (default: %(default)s)")
    parser.add_argument("--save-every", type=whole(1), default=500, help="steps (default: %(default)s)")
    parser.set_defaults(run=run)


def shares(text: str) -> tuple[float, float, float]:
    """An argument type: three numbers of at least 0, not all 0."""
    values = [float(part) for part in text.split(",")]
    if len(values) != 3 or not all(0 <= value < float("inf") for value in values) or not any(values):
        raise argparse.ArgumentTypeError(f"expected three numbers of at least 0, not all 0, received {text}")
    return values[0], values[1], values[2]


def run(options: argparse.Namespace) -> None:
    """Fit what was asked for."""
    try:
        import torch

        from hyt.dataset import open_dataset
        from hyt.training.fit import fit
        from hyt.training.hybrid import METHODS, FollowShares, Weights
        from hyt.training.model import SIZES
        from hyt.training.recipe import Recipe
        from hyt.training.start import checkpoint_start, named, random_start, with_action
    except ImportError as missing:
        raise needs("train", missing) from None
    act, think, follow = options.weights or one_of(METHODS, "method", options.method)
    recipe = Recipe(
        steps=options.steps,
        positions=options.positions,
        batch=options.batch,
        learning_rate=options.learning_rate,
        warm_up=options.warm_up,
        decay=options.decay,
        seed=options.seed,
        packed=options.packed,
        lora=options.lora,
        weights=Weights(act, think, follow, options.thought_token, options.action_token),
        follow=FollowShares(*options.follow_shares),
    )
    if options.init is not None:
        start = named(checkpoint_start(options.init), options.name)
    else:
        name = options.name or options.output.resolve().name
        start = named(random_start(one_of(SIZES, "size", options.size), "unnamed", options.seed), name)
    start = with_action(start, options.head, options.chunk_steps, options.seed)
    data = open_dataset(options.data, chunk_steps=start.contract.action.steps)
    torch.set_num_threads(options.threads)
    fit(
        data,
        options.output,
        start,
        recipe,
        save_every=options.save_every,
        workers=options.workers,
        memory=int(options.memory * 2**30),
        report=report,
    )
