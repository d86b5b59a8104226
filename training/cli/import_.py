"""Check a LeRobotDataset and rewrite it in the layout that trains fastest, with the features it is to be trained on.

hyt-train import DIR -o OUT [--state FEATURE] [--action FEATURE] [--camera NAME=FEATURE]...
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hyt.training.cli.common import needs, report

if TYPE_CHECKING:
    from hyt.training.cli.common import Commands


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("import", help="check a LeRobotDataset and rewrite it for training")
    parser.add_argument("directory", type=Path, metavar="DIR", help="a LeRobotDataset, v3.0 or v2.1")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="a folder without a dataset")
    parser.add_argument("--state", default="observation.state", metavar="FEATURE", help="default: %(default)s")
    parser.add_argument("--action", default="action", metavar="FEATURE", help="default: %(default)s")
    parser.add_argument(
        "--camera", type=pair, action="append", metavar="NAME=FEATURE", help="once for each (default: all of colour)"
    )
    parser.set_defaults(run=run)


def pair(text: str) -> tuple[str, str]:
    """An argument type: NAME=FEATURE."""
    name, found, feature = text.partition("=")
    if not (name and found and feature) or "/" in name:
        raise argparse.ArgumentTypeError(f"expected NAME=FEATURE, received {text}")
    return name, feature


def run(options: argparse.Namespace) -> None:
    """Import what was asked for."""
    try:
        from hyt.dataset import FeatureMap, open_dataset
        from hyt.dataset.importer import import_dataset
    except ImportError as missing:
        raise needs("train", missing) from None
    cameras = None if options.camera is None else dict(options.camera)
    features = FeatureMap(state=options.state, action=options.action, cameras=cameras)
    import_dataset(open_dataset(options.directory, features=features), options.output, report=report)
