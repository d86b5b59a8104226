"""What looking on costs: act with nobody watching, with the terminal's view, with one page and with as many as may be.

    python benchmarks/view.py BUNDLE [--robot sim:metaworld/drawer-open-v3] [--rounds 20] [--json FILE]

Episodes of a robot in real time, the settings in turn. A page is a process that reads the stream of states and fetches
the camera's image with each, as the browser's page does; on the same computer, so it takes time of its cores too.
Ratios are to nobody watching, with their upper 95% bounds from the bootstrap over episodes.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from command import exit_code
from rich.console import Console
from rich.table import Table

from hyt.runtime.cli.output import machine, versions
from hyt.runtime.cli.robots import open_robot
from hyt.runtime.controls import Controls
from hyt.runtime.interpreter import WATCHED, short_turns
from hyt.runtime.loop import run_episode
from hyt.runtime.policy import load
from hyt.runtime.statistics import ratio_bounds
from hyt.runtime.view.state import RunState
from hyt.runtime.view.terminal import TerminalView
from hyt.runtime.view.web import WebView, read_address
from hyt.runtime.view.web.server import MOST_STREAMS

PAGES = {"nobody": 0, "terminal": 0, "1 page": 1, f"{MOST_STREAMS} pages": MOST_STREAMS}
FIRST_SEED = 2_000_000
LOOKER = Path(__file__).with_name("looker.py")


@contextmanager
def watched(setting: str, url: str, state: RunState, controls: Controls) -> Iterator[None]:
    """Somebody watches in the block, as the setting says."""
    with ExitStack() as stack:
        if setting == "terminal":
            drawn = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=120, height=40)
            stack.enter_context(TerminalView(drawn, state, controls))
        pages = [
            subprocess.Popen([sys.executable, str(LOOKER), str(urlsplit(url).port)], stdout=subprocess.PIPE)
            for _ in range(PAGES[setting])
        ]
        for page in pages:
            stack.enter_context(page)
            stack.callback(page.terminate)
        for page in pages:
            assert page.stdout is not None
            page.stdout.readline()
        yield


def main() -> None:
    """Drive, watched in each way in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundle")
    parser.add_argument("--robot", default="sim:metaworld/drawer-open-v3")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    acts: dict[str, list[list[float]]] = {setting: [] for setting in PAGES}
    late = dict.fromkeys(PAGES, 0)
    state = RunState()
    with short_turns(WATCHED), load(options.bundle, threads=1) as policy:
        policy.warm_up()
        controls = Controls()
        with (
            closing(open_robot(options.robot, policy.contract, real_time=True)) as robot,
            WebView(read_address(":0"), state, controls) as page,
        ):
            assert robot.instruction is not None
            state.robot_opened(robot.name, modality="act", episodes=options.rounds, counters=robot.counters)
            for seed in range(FIRST_SEED, FIRST_SEED + options.rounds):
                for setting in PAGES:
                    with watched(setting, page.url, state, controls):
                        result = run_episode(policy, robot, instruction=robot.instruction, seed=seed, listeners=[state])
                    acts[setting].append(result.latencies["policy"])
                    late[setting] += result.late_chunks
    report(acts, late, options.json)


def report(acts: dict[str, list[list[float]]], late: dict[str, int], path: Path | None) -> None:
    """Print act in milliseconds by setting; write it as JSON too."""
    table = Table("watched by", "acts", "p50 ms", "p99 ms", "p50 ratio (bound)", "p99 ratio (bound)", "late")
    rows = {}
    for setting, blocks in acts.items():
        values = np.concatenate(blocks) * 1e3
        ratios = {p: ratio_bounds(blocks, acts["nobody"], p) for p in (50, 99)}
        levels = {p: float(np.percentile(values, p)) for p in (50, 99)}
        shown = [f"{ratio:.2f} ({high:.2f})" for ratio, _, high in ratios.values()]
        table.add_row(setting, str(len(values)), *(f"{ms:.2f}" for ms in levels.values()), *shown, str(late[setting]))
        rows[setting] = {"acts": len(values), "p50_ms": levels[50], "p99_ms": levels[99], "late": late[setting]}
        rows[setting] |= {f"p{p}_ratio": ratio for p, (ratio, _, _) in ratios.items()}
        rows[setting] |= {f"p{p}_ratio_bound": high for p, (_, _, high) in ratios.items()}
    Console().print(table)
    if path is not None:
        path.write_text(json.dumps({"view": rows, "versions": versions(), "machine": machine()}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
