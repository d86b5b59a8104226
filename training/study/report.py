"""What the study found: study.md, study.json and two plots, written anew from the outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyt.runtime.cli.output import machine, versions, write_json
from hyt.training.evaluation.plot import plot_data, plot_latency
from hyt.training.evaluation.summary import Comparison, Count, compare
from hyt.training.hybrid import METHODS as WEIGHTS
from hyt.training.study.design import COMPARISONS, METHODS, Design, Outcome, by_size


def write_report(design: Design, outcomes: Sequence[Outcome], command: str, folder: Path) -> None:
    """Write `study.md`, `study.json`, `study-data.svg` and `study-latency.svg` into a folder that exists."""
    comparisons = compare_methods(outcomes)
    write_json(folder / "study.json", _data(design, outcomes, comparisons, command))
    plot_data(by_size(outcomes), folder / "study-data.svg")
    plot_latency([group for outcome in outcomes for group in outcome.groups], folder / "study-latency.svg")
    (folder / "study.md").write_text(markdown(design, outcomes, comparisons, command), encoding="utf-8")


def compare_methods(outcomes: Sequence[Outcome]) -> list[Comparison]:
    """HyT with each baseline at each data size, on the same episodes."""
    found = {(outcome.fit.method, outcome.fit.episodes): outcome for outcome in outcomes}
    return [
        compare(found[base, size].group(base_mode), found[method, size].group(mode))
        for size in sorted({outcome.fit.episodes for outcome in outcomes})
        for (base, base_mode), (method, mode) in COMPARISONS
    ]


def markdown(design: Design, outcomes: Sequence[Outcome], comparisons: Sequence[Comparison], command: str) -> str:
    """The report for a reader."""
    sizes = sorted(design.episodes)
    episodes = len(design.tasks) * len(design.seeds)
    lines = [
        "# Plain VLA, ECoT and HyT at equal data and equal compute",
        "",
        "Written by",
        "",
        f"    {command}",
        "",
        f"The same `{design.size}` network from random init (seed {design.seed}), the same recipe, the same"
        f" {design.positions:,} processed token positions (image, prompt and generated tokens) for every fit; what"
        " differs is how often a data point is trained to act, to think and to follow:",
        "",
        *(f"- **{method}**: {_weights(method)}; evaluated in {', '.join(modes)}" for method, modes in METHODS.items()),
        "",
        f"Data: the scripted experts' first {' or '.join(map(str, sizes))} episodes of each of {len(design.tasks)}"
        f" tasks. Evaluation: {len(design.seeds)} seeds a task ({design.seeds[0]} to {design.seeds[-1]}, fixed before"
        " any of these policies existed), through the firmware, in float32. One fit for each row, so the intervals tell"
        " of the episodes, not of the luck of a fit.",
        "",
        "## Solved",
        "",
        f"Of {episodes} episodes, with 95% Wilson intervals:",
        "",
        _row("method", "mode", *(f"{size} episodes a task" for size in sizes)),
        _row(*["---"] * (2 + len(sizes))),
        *(_row(*key, *(_count(counts.get(size)) for size in sizes)) for key, counts in by_size(outcomes).items()),
        "",
        "![Success against data size](study-data.svg)",
        "",
        "## HyT against its baselines",
        "",
        "Difference on the same episodes in points, positive where HyT solved more, with its 95% interval (Newcombe,"
        " paired):",
        "",
        _row("baseline", "HyT", "difference", "only HyT", "only baseline"),
        _row(*["---"] * 5),
        *(_row(*_comparison(comparison)) for comparison in comparisons),
        "",
        *(_verdict(comparison) for comparison in comparisons),
        "",
        "## By task",
        "",
        _row("task", *(f"{o.fit.name}, {group.mode}" for o in outcomes for group in o.groups)),
        _row(*["---"] * (1 + sum(len(o.groups) for o in outcomes))),
        *(_row(task.removesuffix("-v3"), *_task_counts(task, outcomes)) for task in design.tasks),
        "",
        "## Latency",
        "",
        "Milliseconds a decision on one thread, measured during the evaluation:",
        "",
        _row("policy", "mode", "p50", "p99", "tokens of a thought"),
        _row(*["---"] * 5),
        *_latencies(outcomes),
        "",
        "![Success against latency](study-latency.svg)",
        "",
    ]
    return "\n".join(lines)


def _data(
    design: Design, outcomes: Sequence[Outcome], comparisons: Sequence[Comparison], command: str
) -> dict[str, Any]:
    return {
        "command": command,
        "episodes": sorted(design.episodes),
        "positions": design.positions,
        "size": design.size,
        "seed": design.seed,
        "tasks": list(design.tasks),
        "seeds": [design.seeds[0], design.seeds[-1]],
        "fits": [
            {
                "name": outcome.fit.name,
                "decisions": outcome.decisions,
                "seconds": outcome.seconds,
                "results": [group.as_dict() for group in outcome.groups],
            }
            for outcome in outcomes
        ],
        "comparisons": [comparison.as_dict() for comparison in comparisons],
        "versions": versions(),
        "machine": machine(),
    }


def _weights(method: str) -> str:
    return ", ".join(
        f"{mode} {weight:g}" for mode, weight in zip(("act", "think", "follow"), WEIGHTS[method], strict=True)
    )


def _count(count: Count | None) -> str:
    if count is None:
        return ""
    low, high = count.interval
    return f"{count.solved} = {100 * count.rate:.0f}% ({100 * low:.0f} to {100 * high:.0f})"


def _comparison(comparison: Comparison) -> tuple[str, ...]:
    _, only_baseline, only_candidate, _ = comparison.counts
    gain, low, high = (0.0 - value for value in (comparison.loss, comparison.high, comparison.low))
    points = f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"
    candidate = f"{comparison.candidate}, {comparison.mode}"
    return comparison.baseline, candidate, points, str(only_candidate), str(only_baseline)


def _verdict(comparison: Comparison) -> str:
    """One sentence that says no more than the interval does."""
    if comparison.high < 0:
        word = "solved more than"
    elif comparison.low > 0:
        word = "solved less than"
    else:
        word = "cannot be told apart from"
    return f"- {comparison.candidate} ({comparison.mode}) {word} {comparison.baseline} on these episodes."


def _task_counts(task: str, outcomes: Sequence[Outcome]) -> list[str]:
    counts = [group.tasks().get(task) for outcome in outcomes for group in outcome.groups]
    return ["" if count is None else f"{count.solved}/{count.episodes}" for count in counts]


def _latencies(outcomes: Sequence[Outcome]) -> list[str]:
    rows = []
    for outcome in outcomes:
        for group in outcome.groups:
            answer, thinking = group.latency("policy"), group.thinking
            if answer is not None:
                tokens = f"{thinking.tokens:.1f}" if thinking.thoughts else ""
                rows.append(_row(group.name, group.mode, f"{answer.p50_ms:.1f}", f"{answer.p99_ms:.1f}", tokens))
    return rows


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
