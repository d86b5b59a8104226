"""Plots show what they are given, and the same numbers give the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyt.errors import InputError
from hyt.training.evaluation.log import Record
from hyt.training.evaluation.plot import check_plot, plot_data, plot_latency
from hyt.training.evaluation.summary import Count, Group

GROUPS = [
    Group("arm", mode, [Record("p", mode, "a", 1, True, 1, latency_ms={"policy": [ms]})])
    for mode, ms in (("act", 4.0), ("think", 9.0))
]
SERIES = {("vla", "act"): {25: Count(3, 10), 250: Count(8, 10)}, ("hyt", "act"): {25: Count(5, 10), 250: Count(10, 10)}}


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_same_numbers_give_the_same_file(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{number}.{ending}" for number in range(4)]
    for latency, data in (paths[:2], paths[2:]):
        plot_latency(GROUPS, latency)
        plot_data(SERIES, data)
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert paths[1].read_bytes() == paths[3].read_bytes()
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_a_policy_that_was_never_driven_has_no_point(tmp_path: Path) -> None:
    refused = Group("other", "act", [Record("q", "act", "a", 1, False, refusal="unknown 'peg'")])
    plot_latency(GROUPS, tmp_path / "without.svg")
    plot_latency([*GROUPS, refused], tmp_path / "with.svg")
    assert (tmp_path / "without.svg").read_bytes() == (tmp_path / "with.svg").read_bytes()


def test_an_unknown_ending_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match=r"plot out\.gif; expected a name that ends in \.svg, \.png, \.pdf"):
        check_plot(Path("out.gif"))
