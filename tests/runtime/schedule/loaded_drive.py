"""A drive in a process of its own, for tests that take the CPU away from it: BUNDLE TRACE REPORT.

Runs until a line comes on its standard input, then writes REPORT: when each chunk was decided and how late it was.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from rigs import Log, rigged

import hyt
from hyt.runtime.controls import Controls
from hyt.runtime.listener import Decision, Listener
from hyt.runtime.loop import run_episode
from hyt.runtime.schedule import Schedule, Thinking


class Told(Listener):
    """Says that the drive is under way, and where its chunks are."""

    def decided(self, decision: Decision) -> None:
        print(decision.index, int(decision.outcome.late), flush=True)


class Quiet(Controls):
    """Ends the loop without stopping the firmware: the run is over, nothing went wrong."""

    @property
    def stopped(self) -> bool:
        return enough.is_set()


enough = threading.Event()


def main(bundle: str, trace: str, report: str) -> None:
    """Drive."""
    threading.Thread(target=lambda: (sys.stdin.readline(), enough.set()), daemon=True).start()
    log = Log()
    with hyt.load(bundle, threads=1) as policy, rigged(policy.contract, Path(trace)) as rig:
        policy.warm_up()
        result = run_episode(
            policy,
            rig,
            instruction="open the drawer",
            max_decisions=100_000,
            listeners=[log, Told()],
            controls=Quiet(),
            schedule=Schedule(period=0.0625, blend=1, thinking=Thinking("every", every=2)),
        )
        counters = rig.counters()
    Path(report).write_text(
        json.dumps(
            {
                "starts": [decision.start_tick for decision in log.decisions],
                "late": [decision.outcome.late for decision in log.decisions],
                "late_chunks": result.late_chunks,
                "finished_thoughts": result.finished_thoughts,
                "counters": counters,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
