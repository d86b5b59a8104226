"""Give a PaliGemma, PaliGemma 2 or LLaVA checkpoint the tags and action tokens of HyT and the contract of a dataset.

hyt-train adapt CHECKPOINT -o OUT --data DATA --name NAME --action NAME:UNIT:SEMANTICS:FRAME[:RELATIVE_TO] ...
                [--state NAME:UNIT ...] [--chunk-steps N] [--bins N] [--action-tokens append|reuse]

One --action for each dimension, in the dataset's order: SEMANTICS is absolute, delta or velocity; RELATIVE_TO, for a
delta, is last_setpoint or observed_state. Then: hyt-train fit DATA -o POLICY --init OUT [--lora RANK]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.arguments import whole
from hyt.errors import InputError
from hyt.training.cli.common import needs, report

if TYPE_CHECKING:
    from hyt.training.adapt import Meaning
    from hyt.training.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("adapt", help="give a vision-language checkpoint HyT's tokens and a contract")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="PaliGemma, PaliGemma 2 or LLaVA")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="what it will be fitted on")
    parser.add_argument("--name", required=True, help="name of the policy")
    parser.add_argument("--action", action="append", required=True, metavar="NAME:UNIT:SEMANTICS:FRAME[:RELATIVE_TO]")
    parser.add_argument("--state", action="append", default=[], metavar="NAME:UNIT", help="none: it is not shown")
    parser.add_argument("--chunk-steps", type=whole(1), default=1, help="actions in a chunk (default: %(default)s)")
    parser.add_argument("--bins", type=whole(1), default=256, help="of each action dimension (default: %(default)s)")
    parser.add_argument("--state-bins", type=whole(1), default=256, help="(default: %(default)s)")
    parser.add_argument(
        "--action-tokens",
        choices=("append", "reuse"),
        default="append",
        help="new rows, or rarely used ids that are there (default: %(default)s)",
    )
    parser.add_argument("--max-text", type=whole(1), default=64, help="tokens (default: %(default)s)")
    parser.add_argument("--max-thought", type=whole(1), default=128, help="tokens (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Adapt the checkpoint."""
    try:
        from hyt.dataset import open_dataset
        from hyt.training.adapt import Adaptation, adapt
    except ImportError as missing:
        raise needs("train", missing) from None
    adaptation = Adaptation(
        name=options.name,
        actions=tuple(meaning(text, (4, 5)) for text in options.action),
        state=tuple(meaning(text, (2,)) for text in options.state),
        bins=options.bins,
        state_bins=options.state_bins,
        reuse=options.action_tokens == "reuse",
        max_text=options.max_text,
        max_thought=options.max_thought,
    )
    data = open_dataset(options.data, chunk_steps=options.chunk_steps)
    contract = adapt(options.checkpoint, options.output, data, adaptation)
    ranges = {d.name: [round(d.low, 6), round(d.high, 6), d.unit] for d in contract.action.dimensions}
    report({"output": str(options.output), "vocab_size": contract.vocab_size, "actions": ranges})


def meaning(text: str, counts: tuple[int, ...]) -> Meaning:
    """A dimension from its colon-separated parts; raises InputError when there are too few or too many."""
    from hyt.training.adapt import Meaning

    parts = text.split(":")
    if len(parts) not in counts:
        raise InputError(
            f"dimension {text!r}", expected=f"{' or '.join(map(str, counts))} parts", received=str(len(parts))
        )
    return Meaning(*parts)
