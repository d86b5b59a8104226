"""Tests of hyt.runtime.statistics against published values and a direct solution of Wilson's equation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyt.runtime.statistics import Z_95, clustered_interval, paired_difference, summarise, wilson_interval


def test_the_interval_of_known_counts_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_are_the_rates_whose_score_test_just_rejects(counts: tuple[int, int]) -> None:
    successes, trials = counts
    rate = successes / trials
    # (rate - p)^2 = z^2 p (1 - p) / n as a quadratic in p.
    z2 = Z_95**2 / trials
    expected = sorted(np.roots([1 + z2, -(2 * rate + z2), rate**2]).real)
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_interval_holds_the_rate_and_stays_in_the_unit_range(successes: int, failures: int) -> None:
    trials = successes + failures
    low, high = wilson_interval(successes, trials)
    assert 0.0 <= low <= (successes / trials if trials else 0.5) <= high <= 1.0


def test_clusters_of_one_trial_have_nearly_the_interval_of_independent_trials() -> None:
    rates = [1.0] * 90 + [0.0] * 10
    # The variance of clusters is taken as of a sample: a hundredth more than p (1 - p).
    assert clustered_interval(rates) == pytest.approx(wilson_interval(90, 100), abs=0.002)
    assert clustered_interval([1.0] * 50) == wilson_interval(50, 50)


def test_trials_that_go_together_count_as_one_and_independent_ones_as_many() -> None:
    random = np.random.default_rng(0)
    alike = np.repeat(random.random(400) < 0.9, 4).reshape(400, 4).mean(axis=1)
    apart = (random.random((400, 4)) < 0.9).mean(axis=1)
    one, four = clustered_interval(alike.tolist()), clustered_interval(apart.tolist())
    assert one == pytest.approx(wilson_interval(int(alike.sum()), 400), abs=0.001)
    assert four == pytest.approx(wilson_interval(int(4 * apart.sum()), 1600), abs=0.003)


def test_the_interval_over_clusters_holds_the_true_rate_19_times_in_20() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        easy = random.random(200) < 0.7  # of two kinds of observations: those that always agree, and others
        rates = np.where(easy, 1.0, random.binomial(4, 0.85, 200) / 4)
        low, high = clustered_interval(rates.tolist())
        held += low <= 0.7 + 0.3 * 0.85 <= high
    assert 925 <= held <= 975


def test_no_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one cluster, received none"):
        clustered_interval([])


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 <= successes <= trials, received 3 of 2"):
        wilson_interval(3, 2)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_a_summary_is_numpys_percentiles_in_milliseconds(seconds: list[float]) -> None:
    summary = summarise(seconds)
    assert summary.count == len(seconds)
    assert summary.p50_ms == pytest.approx(np.median(seconds) * 1e3)
    assert summary.p99_ms == pytest.approx(np.percentile(seconds, 99) * 1e3)
    assert summary.max_ms == pytest.approx(max(seconds) * 1e3)


def test_a_summary_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one latency"):
        summarise([])


@pytest.mark.parametrize("cells", [(0.85, 0.05, 0.04, 0.06), (0.5, 0.2, 0.1, 0.2), (0.97, 0.01, 0.01, 0.01)])
def test_the_paired_interval_covers_the_true_difference_in_95_of_100_experiments(cells: tuple[float, ...]) -> None:
    random = np.random.default_rng(4)
    truth = cells[1] - cells[2]
    covered = []
    for counts in random.multinomial(300, cells, size=2000):
        _, low, high = paired_difference(*(int(c) for c in counts))
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.995


def test_swapping_the_two_mirrors_the_paired_interval() -> None:
    difference, low, high = paired_difference(200, 30, 12, 58)
    swapped = paired_difference(200, 12, 30, 58)
    np.testing.assert_allclose(swapped, (-difference, -high, -low), atol=1e-12)
    assert difference == pytest.approx(18 / 300)


def test_equal_outcomes_leave_no_difference() -> None:
    difference, low, high = paired_difference(300, 0, 0, 0)
    assert difference == 0.0
    assert -0.02 < low <= 0.0 <= high < 0.02


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one pair"):
        paired_difference(0, 0, 0, 0)
