"""Fit the gate that says when the policy should think, and put it into the checkpoint.

hyt-train gate CHECKPOINT DATA [--quantization Q] [--decisions N] [--margin M] [--keep K] [--units N] [--seed S]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.arguments import share, whole
from hyt.training.cli.common import needs, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("gate", help="fit the gate that says when the policy should think")
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="gets gate.safetensors, gate.json, hyt.json"
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="a LeRobotDataset of what experts did")
    parser.add_argument("--quantization", default="q4_0", help="as which the policy will run (default: %(default)s)")
    parser.add_argument("--decisions", type=whole(1), default=6000, help="at most, of the data (default: %(default)s)")
    parser.add_argument("--margin", type=share, default=0.05, help="least gain of a thought (default: %(default)s)")
    parser.add_argument("--keep", type=share, default=0.95, help="of the best gain, by the threshold (default 0.95)")
    parser.add_argument("--units", type=whole(1), default=32, help="hidden units (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: %(default)s)")
    parser.add_argument("--threads", type=whole(1), default=1, help="(default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Export, let it answer, fit, and write."""
    try:
        import torch

        from hyt.dataset import open_dataset
        from hyt.training.answers import exported
        from hyt.training.gate import GateRecipe, fit_gate, judge
        from hyt.training.head_file import write_head
    except ImportError as missing:
        raise needs("train", missing) from None
    from hyt.runtime.contract import Gate

    torch.set_num_threads(options.threads)
    recipe = GateRecipe(
        decisions=options.decisions,
        margin=options.margin,
        keep=options.keep,
        units=options.units,
        seed=options.seed,
    )
    with exported(options.checkpoint, options.quantization, options.threads) as policy:
        dataset = open_dataset(options.data, chunk_steps=policy.contract.action.steps)
        judged = judge(policy, dataset, recipe, report)
    gate = fit_gate(judged, recipe)
    described = {"quantization": options.quantization, **vars(recipe), **gate.measured}
    told = Gate(units=gate.units, threshold=gate.threshold)
    write_head(options.checkpoint, "gate", told, gate.tensors, described)
    report(json.loads((options.checkpoint / "gate.json").read_text(encoding="utf-8")))
