"""No policy is trained or chosen on the seeds that its results are reported on."""

from __future__ import annotations

from itertools import combinations

from hyt.simulation import seeds


def test_the_seed_ranges_never_meet() -> None:
    ranges = [
        seeds.COLLECT,
        seeds.CORRECT,
        seeds.VALIDATION,
        seeds.HELD_OUT,
        seeds.PAIRED,
        seeds.STUDY,
        seeds.DEMONSTRATION,
    ]
    assert all(not set(a) & set(b) for a, b in combinations(ranges, 2))
