"""What an evaluation found, for a person: a table of successes and one of latencies a policy, a line a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from hyt.training.evaluation.protocol import Protocol
from hyt.training.evaluation.summary import Comparison, Count, Group

_LATENCIES = ("p50", "p99", "mean", "prefix", "thought", "tokens", "a token", "action", "thinks", "x act")
"""p50, p99 and mean of the whole answer; p50 of the prefix, the thought and the action; mean tokens of a thought and
milliseconds a token; part of the decisions that thought; p50 of the answer in that of act."""


def print_results(
    console: Console, groups: Sequence[Group], comparisons: Sequence[Comparison], protocol: Protocol | None = None
) -> None:
    """Print everything; with a protocol also its groups of tasks and its score."""
    for name in dict.fromkeys(group.name for group in groups):
        of_policy = [group for group in groups if group.name == name]
        console.print(success_table(of_policy, protocol))
        console.print(latency_table(of_policy))
        if (line := gate_line(of_policy)) is not None:
            console.print(line, highlight=False, soft_wrap=True)
    for comparison in comparisons:
        console.print(comparison_line(comparison), highlight=False, soft_wrap=True)
    for group in groups:
        if moved := group.moved():
            text = ", ".join(f"{way} {episodes}" for way, episodes in moved.items())
            console.print(f"{group.name}, {group.mode}: moved which way: {text}", highlight=False)
        for reason, episodes in group.refusals().items():
            text = f"{group.name}, {group.mode}: {episodes} episodes not driven to their end: {reason}"
            console.print(text, highlight=False, soft_wrap=True, markup=False)


def success_table(groups: Sequence[Group], protocol: Protocol | None = None) -> Table:
    """One policy: a row a task, a column a mode; below, the protocol's groups, the mean over tasks, all episodes."""
    table = _table(f"{groups[0].name}: solved, with 95% Wilson intervals")
    table.add_column("task", no_wrap=True)
    for group in groups:
        table.add_column(group.mode, justify="right")
    counts = [group.tasks() for group in groups]
    for name in dict.fromkeys(name for tasks in counts for name in tasks):
        table.add_row(name.removesuffix("-v3"), *(_count(tasks[name]) if name in tasks else "" for tasks in counts))
    table.add_section()
    if protocol is not None:
        for name in protocol.groups:
            table.add_row(name, *(_count(protocol.counts(group)[name]) for group in groups))
        table.add_row("mean over groups", *(f"{100 * protocol.score(group):.1f}%" for group in groups))
    table.add_row("mean over tasks", *(f"{100 * group.mean:.1f}%" for group in groups))
    table.add_row("all episodes", *(_count(group.total) for group in groups))
    return table


def latency_table(groups: Sequence[Group]) -> Table:
    """One policy: a row a mode, its answer and what the answer is made of, in milliseconds a decision."""
    table = _table(f"{groups[0].name}: milliseconds of a decision")
    table.add_column("mode", no_wrap=True)
    for name in _LATENCIES:
        table.add_column(name, justify="right")
    base = next((group.latency("policy") for group in groups if group.mode == "act"), None)
    for group in groups:
        answer = group.latency("policy")
        if answer is None:
            continue
        thinking, thought = group.thinking, group.latency("thought")
        table.add_row(
            group.mode,
            f"{answer.p50_ms:.1f}",
            f"{answer.p99_ms:.1f}",
            f"{answer.mean_ms:.1f}",
            f"{_p50(group, 'vision') + _p50(group, 'prefill'):.1f}",
            "" if thought is None else f"{thought.p50_ms:.1f}",
            f"{thinking.tokens:.1f}" if thinking.thoughts else "",
            f"{thinking.token_ms:.2f}" if thinking.thoughts else "",
            f"{_p50(group, 'decode'):.1f}",
            f"{100 * thinking.thoughts / thinking.decisions:.0f}%",
            "" if base is None else f"{answer.p50_ms / base.p50_ms:.2f}",
        )
    return table


def gate_line(groups: Sequence[Group]) -> str | None:
    """How much of the better mode's success the gate kept, and what always, never and gated thinking cost."""
    modes = {group.mode: group for group in groups}
    answers = {mode: modes[mode].latency("policy") for mode in ("act", "think", "gate") if mode in modes}
    never, always, gated = answers.get("act"), answers.get("think"), answers.get("gate")
    if never is None or always is None or gated is None:
        return None
    better = max(("act", "think"), key=lambda mode: modes[mode].mean)
    kept = 100 * modes["gate"].mean / modes[better].mean if modes[better].mean else 100.0
    thinking = modes["gate"].thinking
    return (
        f"{groups[0].name}: the gate kept {kept:.1f}% of the success of {better}, the better mode; it thought in "
        f"{100 * thinking.thoughts / thinking.decisions:.0f}% of the decisions; mean latency {gated.mean_ms:.1f} ms, "
        f"never thinking {never.mean_ms:.1f} ms, always {always.mean_ms:.1f} ms"
    )


def comparison_line(comparison: Comparison) -> str:
    """One line of a paired comparison."""
    both, first, second, neither = comparison.counts
    solved = f"both {both}, only {comparison.baseline} {first}, only {comparison.candidate} {second}, neither {neither}"
    return (
        f"{comparison.mode}, {sum(comparison.counts)} paired episodes: {comparison.candidate} loses "
        f"{comparison.loss:.1f} points against {comparison.baseline}, 95% interval {comparison.low:.1f} to "
        f"{comparison.high:.1f} ({solved})"
    )


def _count(value: Count) -> str:
    low, high = value.interval
    return f"{value.solved}/{value.episodes} {100 * low:.0f}-{100 * high:.0f}%"


def _p50(group: Group, phase: str) -> float:
    summary = group.latency(phase)
    return 0.0 if summary is None else summary.p50_ms


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
