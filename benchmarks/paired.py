"""Compare two `hyt-run drive --json` results episode by episode on the same seeds.

    python benchmarks/paired.py BASELINE.json CANDIDATE.json

Prints success rates, the loss of the candidate (baseline minus candidate, in percentage points) and its 95% interval by
Newcombe's score method for paired proportions (R. G. Newcombe, Statistics in Medicine 17 (1998), 2635-2650, method 10).
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from hyt.runtime.statistics import wilson_interval


def paired_difference(both: int, first: int, second: int, neither: int) -> tuple[float, float, float]:
    """Difference of two paired success rates and its 95% interval, as (difference, low, high) in [-1, 1].

    both, first, second, neither: episodes solved by both, only by the first, only by the second, by none of the two.
    """
    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    low1, high1 = wilson_interval(both + first, n)
    low2, high2 = wilson_interval(both + second, n)
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    phi = 0.0
    if product:
        agreement = both * neither - first * second
        # The correction for continuity keeps a positive correlation from being overstated.
        phi = (max(agreement - n / 2, 0.0) if agreement > 0 else agreement) / math.sqrt(product)
    d1, d2 = p1 - low1, high2 - p2
    e1, e2 = high1 - p1, p2 - low2
    delta = math.sqrt(max(d1 * d1 - 2 * phi * d1 * d2 + d2 * d2, 0.0))
    epsilon = math.sqrt(max(e1 * e1 - 2 * phi * e1 * e2 + e2 * e2, 0.0))
    return p1 - p2, p1 - p2 - delta, p1 - p2 + epsilon


def outcomes(result: dict[str, Any]) -> dict[tuple[str, int], bool]:
    """Success by (robot, seed)."""
    return {
        (robot["robot"], episode["seed"]): bool(episode["success"])
        for robot in result["robots"]
        for episode in robot["episodes"]
    }


def main() -> int:
    """Print the comparison as a line of text and a line of JSON."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    baseline, candidate = (outcomes(json.loads(Path(path).read_text(encoding="utf-8"))) for path in sys.argv[1:])
    if baseline.keys() != candidate.keys():
        print("paired: expected the same robots and seeds in both files", file=sys.stderr)
        return 3
    pairs = [(success, candidate[key]) for key, success in baseline.items()]
    counts = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
    difference, low, high = (100 * value for value in paired_difference(*counts))
    both, first, second, neither = counts
    print(f"episodes {len(pairs)}: both {both}, only baseline {first}, only candidate {second}, neither {neither}")
    print(f"loss {difference:.1f} points, 95% interval {low:.1f} to {high:.1f}")
    print(json.dumps({"episodes": len(pairs), "counts": counts, "loss": difference, "low": low, "high": high}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
