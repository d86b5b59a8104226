"""hyt-run bench --schedule: what it counts and what it says of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hyt.runtime.cli import main
from hyt.runtime.cli.bench_schedule import describe
from hyt.runtime.schedule.measure import Block, rate_per_minute
from hyt.runtime.statistics import ratio_bounds


def test_a_bench_of_the_loop_reports_acts_thoughts_and_waits(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    command = ["bench", str(tiny_bundle), "--schedule", "--periods", "24", "--period", "0.0625", "--threads", "1"]
    assert main([*command, "--think", "every=1", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(path.read_text())
    assert json.loads(printed.splitlines()[-1]) == report
    assert report["turns"] == {"on": 12, "off": 12}
    assert report["act_ms"]["on"]["count"] == report["act_ms"]["off"]["count"] == 12
    assert report["thoughts"]["finished"] > 0
    assert report["thoughts"]["wanted_per_minute"] == 960
    assert report["firmware"]["chunks_accepted"] == 4 * (6 + 5)  # blocks of six turns, five more to settle
    waits = report["due_to_begun_while_thinking"]
    assert sum(waits["histogram"].values()) == waits["turns"]
    assert sum(report["due_to_begun_off"]["histogram"].values()) == 12
    assert "a thought open" in printed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--think", "gate"], "--think; expected every=N or rate=R with --schedule; received gate"),
        (["--think", "often"], "--think; expected never, always, gate, every=N (decisions) or rate=R (a minute)"),
        (["--period", "0.1"], "period; expected a whole number of steps of 0.0625 s, 1 to 2 of them; received 0.1 s"),
        (["--profile"], "--profile; expected not together with --schedule; received both"),
        (["--periods", "0"], "--periods; expected at least 1; received 0"),
    ],
)
def test_a_bench_of_the_loop_that_makes_no_sense_is_refused(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(["bench", str(tiny_bundle), "--schedule", "--threads", "1", *more]) == 5
    assert said in capsys.readouterr().err


def test_the_numbers_are_those_of_the_blocks() -> None:
    off = [Block("off", act=[1.0] * 9 + [2.0], stolen=[0.0] * 10, waited=[1e-5] * 10) for _ in range(4)]
    on = [
        Block("on", act=[2.0] * 9 + [4.0], stolen=[0.0] * 9 + [1.0], thinking=[1e-5, 3e-4], finished=[0.0, 1.0, 2.0])
        for _ in range(4)
    ]
    report = describe([*off, *on], step=1e-4, wanted=60.0)
    assert report["on_to_off"] == {"p50": {"ratio": 2.0, "upper_95": 2.0}, "p99": {"ratio": 2.0, "upper_95": 2.0}}
    assert report["without_stolen_time"]["on_to_off"]["p99"]["ratio"] == 1.5
    assert report["stolen_share"] == pytest.approx(4 / (4 * 11 + 4 * 22), abs=1e-5)
    assert report["thoughts"]["per_minute"] == 60
    waits = report["due_to_begun_while_thinking"]
    assert (waits["turns"], waits["within_a_decode_step"], waits["max_ms"]) == (8, 0.5, 0.3)
    assert (waits["histogram"]["0.02"], waits["histogram"]["0.5"]) == (4, 4)


def test_a_rate_is_counted_between_the_thoughts_of_a_block() -> None:
    blocks = [Block("on", finished=[10.0, 10.5, 11.0]), Block("on", finished=[90.0, 91.0]), Block("on", finished=[5.0])]
    assert rate_per_minute(blocks) == pytest.approx(60 * 3 / 2)
    assert np.isnan(rate_per_minute([Block("on")]))


def test_the_bounds_of_a_ratio_hold_it_as_often_as_they_say() -> None:
    random = np.random.default_rng(5)
    held = 0
    for seed in range(60):
        sides = [random.lognormal(0.0, 0.3, (20, 25)) * scale for scale in (1.2, 1.0)]
        ratio, low, high = ratio_bounds(*sides, 50, repeats=200, seed=seed)
        assert low <= ratio <= high
        held += high >= 1.2
    assert held >= 51  # 95% of 60 are 57


def test_the_bounds_of_pairs_are_not_widened_by_what_both_have_in_common() -> None:
    random = np.random.default_rng(6)
    held, apart, together = 0, [], []
    for seed in range(60):
        slow = random.lognormal(0.0, 0.5, (20, 1))  # a block and its neighbour are slow together
        sides = [random.lognormal(0.0, 0.1, (20, 25)) * slow * scale for scale in (1.2, 1.0)]
        for bounds, paired in ((apart, False), (together, True)):
            ratio, low, high = ratio_bounds(*sides, 50, paired=paired, repeats=200, seed=seed)
            assert low <= ratio <= high
            bounds.append(high - low)
        held += high >= 1.2
    assert held >= 51  # 95% of 60 are 57
    assert np.median(together) < 0.5 * np.median(apart)


def test_a_ratio_needs_values_on_both_sides() -> None:
    with pytest.raises(ValueError, match="values on both sides"):
        ratio_bounds([[1.0]], [[]], 50)
    with pytest.raises(ValueError, match="pairs of blocks with values, received 2 and 1 blocks"):
        ratio_bounds([[1.0], [1.0]], [[1.0]], 50, paired=True)
    with pytest.raises(ValueError, match="pairs of blocks with values"):
        ratio_bounds([[1.0], [1.0]], [[1.0], []], 50, paired=True)
