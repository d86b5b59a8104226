"""Fit the draft head that guesses the rest of an action, and put it into the checkpoint.

hyt-train draft CHECKPOINT DATA [--quantization Q] [--decisions N] [--units N] [--steps N] [--seed S] [--threads N]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.arguments import whole
from hyt.training.cli.common import needs, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("draft", help="fit the draft head that guesses the rest of an action")
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="gets draft.safetensors, draft.json, hyt.json"
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="a LeRobotDataset of what the policy may see")
    parser.add_argument("--quantization", default="q4_0", help="as which the policy will run (default: %(default)s)")
    parser.add_argument("--decisions", type=whole(1), default=20000, help="at most, of the data (default: %(default)s)")
    parser.add_argument("--units", type=whole(1), default=64, help="hidden units (default: %(default)s)")
    parser.add_argument("--steps", type=whole(1), default=3000, help="of fitting (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default: %(default)s)")
    parser.add_argument("--threads", type=whole(1), default=1, help="(default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Export, let it answer, fit, and write."""
    try:
        import torch

        from hyt.dataset import open_dataset
        from hyt.training.answers import exported
        from hyt.training.draft import DraftRecipe, fit_draft, listen
        from hyt.training.head_file import write_head
    except ImportError as missing:
        raise needs("train", missing) from None
    from hyt.runtime.contract import Draft

    torch.set_num_threads(options.threads)
    recipe = DraftRecipe(decisions=options.decisions, units=options.units, steps=options.steps, seed=options.seed)
    with exported(options.checkpoint, options.quantization, options.threads) as policy:
        choices = len(policy.contract.action.token_ids)
        dataset = open_dataset(options.data, chunk_steps=policy.contract.action.steps)
        said = listen(policy, dataset, recipe, report)
    draft = fit_draft(said, choices, recipe)
    described = {"quantization": options.quantization, **vars(recipe), **draft.measured}
    write_head(options.checkpoint, "draft", Draft(units=draft.units), draft.tensors, described)
    report(json.loads((options.checkpoint / "draft.json").read_text(encoding="utf-8")))
