"""The numbers of an evaluation, against sums done by hand."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from hyt.runtime.statistics import paired_difference, wilson_interval
from hyt.training.evaluation.log import Record
from hyt.training.evaluation.summary import Group, compare, compare_all
from hyt.training.evaluation.table import gate_line, print_results


def record(task: str, seed: int, success: bool, ms: float = 4.0, tokens: int = 0) -> Record:
    latency = {"policy": [ms, ms + 1], "vision": [1.0, 1.0], "prefill": [2.0, 2.0], "decode": [0.5, 0.5]}
    if tokens:
        latency["thought"] = [3.0, 3.0]
    return Record("p", "act", task, seed, success, 2, 0, 0.5, [tokens] * (2 if tokens else 0), latency)


ACT = Group("arm", "act", [record("a", 1, True), record("a", 2, False), record("a", 3, True), record("b", 1, True)])
THINK = Group("arm", "think", [record("a", s, False, 8.0, 9) for s in (1, 2, 3)] + [record("b", 1, True, 8.0, 9)])


def test_each_task_weighs_the_same_in_the_mean_and_each_episode_in_the_total() -> None:
    assert {name: (c.solved, c.episodes) for name, c in ACT.tasks().items()} == {"a": (2, 3), "b": (1, 1)}
    assert ACT.mean == pytest.approx((2 / 3 + 1) / 2)
    assert ACT.total.interval == wilson_interval(3, 4)


def test_time_a_token_counts_the_end_of_the_thought() -> None:
    thinking = THINK.thinking
    assert (thinking.decisions, thinking.thoughts, thinking.tokens) == (8, 8, 9.0)
    assert thinking.token_ms == pytest.approx(3.0 / 10)
    assert ACT.thinking.thoughts == 0


def test_the_dictionary_is_json_and_holds_counts_latencies_and_refusals() -> None:
    refused = Record("p", "act", "c", 1, False, refusal="unknown 'peg'")
    data = json.loads(json.dumps(Group("arm", "act", [*ACT.records, refused]).as_dict(), allow_nan=False))
    assert data["tasks"]["a"]["solved"] == 2
    assert data["latency_ms"]["policy"]["p50_ms"] == 4.5
    assert data["refusals"] == {"unknown 'peg'": 1}


def test_policies_are_compared_episode_by_episode_in_each_mode() -> None:
    other = Group("small", "act", [record("a", s, s == 2) for s in (1, 2, 3)] + [record("b", 1, True)])
    (comparison,) = compare_all([ACT, THINK, other])
    assert (comparison.baseline, comparison.candidate, comparison.mode) == ("arm", "small", "act")
    assert comparison.counts == (1, 2, 1, 0)
    expected = [round(100 * value, 2) for value in paired_difference(1, 2, 1, 0)]
    assert [comparison.loss, comparison.low, comparison.high] == expected


def test_groups_of_other_seeds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="expected the same tasks and seeds"):
        compare(ACT, Group("arm", "act", [record("a", 9, True)]))


def test_the_printed_tables_hold_counts_ratio_and_reasons_in_a_narrow_terminal() -> None:
    console = Console(file=io.StringIO(), width=80, record=True)
    refused = Group("other", "act", [Record("q", "act", "a", 1, False, refusal="unknown 'peg'")])
    print_results(console, [ACT, THINK, refused], [])
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["a", "2/3", "21-94%", "0/3", "0-56%"] in lines
    think = next(line for line in lines if line[:1] == ["think"])
    assert think == ["think", "8.5", "9.0", "8.5", "3.0", "3.0", "9.0", "0.30", "0.5", "100%", "1.89"]
    assert ["other,", "act:", "1", "episodes", "not", "driven", "to", "their", "end:", "unknown", "'peg'"] in lines


def test_the_gates_line_says_what_it_kept_how_often_it_thought_and_what_it_cost() -> None:
    half = [record("a", s, s > 1, 6.0, 9 if s == 1 else 0) for s in (1, 2, 3)] + [record("b", 1, True, 6.0)]
    line = gate_line([ACT, THINK, Group("arm", "gate", half)])
    assert line == (
        "arm: the gate kept 100.0% of the success of act, the better mode; it thought in 25% of the decisions; "
        "mean latency 6.5 ms, never thinking 4.5 ms, always 8.5 ms"
    )
    assert gate_line([ACT, THINK]) is None
