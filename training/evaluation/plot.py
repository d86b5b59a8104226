"""Plots of success: against the latency of a decision, and against the size of the data.

Rates are over all episodes, bars are 95% Wilson intervals. The ending of the file's name chooses svg, png or pdf; the
same numbers give the same file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyt.errors import InputError, MissingDependencyError
from hyt.training.evaluation.summary import Count, Group

FORMATS = (".svg", ".png", ".pdf")

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
_MARKERS = {"act": "o", "think": "s", "follow": "^", "follow-own": "v", "gate": "D"}
_LINES = {"act": "-", "think": "--", "follow": ":"}


def check_plot(path: Path | None) -> None:
    """Refuse a plot that cannot be made before any work; raises InputError, or MissingDependencyError."""
    if path is None:
        return
    if path.suffix not in FORMATS:
        raise InputError(f"plot {path}", expected=f"a name that ends in {', '.join(FORMATS)}")
    _matplotlib()


def plot_latency(groups: Sequence[Group], path: Path) -> None:
    """Success against the p50 latency of a decision: one point for each policy and mode that was driven."""
    names = list(dict.fromkeys(group.name for group in groups))
    with _figure(path, "latency of a decision, p50 (ms)") as axes:
        for group in groups:
            answer = group.latency("policy")
            if answer is None:
                continue
            _point(
                axes,
                [answer.p50_ms],
                [group.total],
                color=_COLORS[names.index(group.name) % len(_COLORS)],
                marker=_MARKERS.get(group.mode, "x"),
                linestyle="",
                label=f"{group.name}, {group.mode}",
            )
        axes.set_xscale("log")
        _plain_ticks(axes)


def plot_data(series: Mapping[tuple[str, str], Mapping[int, Count]], path: Path) -> None:
    """Success against episodes of training data a task: one line for each method and mode, its counts by data size."""
    methods = list(dict.fromkeys(method for method, _ in series))
    sizes = sorted({size for counts in series.values() for size in counts})
    with _figure(path, "episodes of training data a task") as axes:
        for place, ((method, mode), counts) in enumerate(series.items()):
            shift = 1 + 0.012 * (place - (len(series) - 1) / 2)  # bars beside each other, not on top
            _point(
                axes,
                [size * shift for size in counts],
                list(counts.values()),
                color=_COLORS[methods.index(method) % len(_COLORS)],
                marker=_MARKERS.get(mode, "x"),
                linestyle=_LINES.get(mode, "-."),
                label=f"{method}, {mode}",
            )
        axes.set_xscale("log")
        _plain_ticks(axes, sizes)


class _figure:  # noqa: N801 - a context manager, used as a function
    """Axes of a plot of success; written to `path` when the block ends."""

    def __init__(self, path: Path, x_label: str) -> None:
        self._path = path
        self._x_label = x_label

    def __enter__(self) -> Any:
        figure_module = _matplotlib()
        self._figure = figure_module.Figure(figsize=(7.0, 4.2), layout="constrained")
        axes = self._figure.add_subplot()
        axes.set_xlabel(self._x_label)
        axes.set_ylabel("solved (%), 95% Wilson interval")
        axes.set_ylim(-2, 102)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        self._axes = axes
        return axes

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is not None:
            return
        import matplotlib

        self._axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
        # No date, and names of SVG elements from a fixed salt: the same numbers give the same bytes.
        metadata = {".svg": {"Date": None}, ".png": {"Software": None}, ".pdf": {"CreationDate": None}}
        with matplotlib.rc_context({"svg.hashsalt": "hyt", "svg.fonttype": "path", "font.size": 9}):
            self._figure.savefig(self._path, metadata=metadata[self._path.suffix], dpi=144)


def _point(axes: Any, x: Sequence[float], counts: Sequence[Count], **style: Any) -> None:
    rates = [100 * count.rate for count in counts]
    ends = [count.interval for count in counts]
    below = [max(rate - 100 * low, 0.0) for rate, (low, _) in zip(rates, ends, strict=True)]
    above = [max(100 * high - rate, 0.0) for rate, (_, high) in zip(rates, ends, strict=True)]
    axes.errorbar(x, rates, yerr=[below, above], capsize=2.5, elinewidth=1.0, markersize=5.5, **style)


def _plain_ticks(axes: Any, places: Sequence[float] | None = None) -> None:
    """Numbers as one writes them on a logarithmic axis, at `places` when they are given."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if places is None else FixedLocator(list(places)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _matplotlib() -> Any:
    """matplotlib.figure; without a window system, whatever the environment says."""
    try:
        from matplotlib import figure
    except ImportError as missing:
        raise MissingDependencyError(
            "plot", expected="matplotlib", received=str(missing), remedy="pip install 'hyt[train]'"
        ) from None
    return figure
