"""One case of benchmarks/peers.py as a table: a row an engine, task and phase."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def table(report: dict[str, Any]) -> Table:
    """Times, ratios, and of ours the share of what the machine can do."""
    case = report["case"]
    attention = "causal" if case["causal"] else "bidirectional"
    result = Table(
        title=f"{case['name']}: {attention} prefix of {case['prefix']}, {case['action_tokens']} action tokens, thought "
        f"of {case['thought']}; {report['repeat']} repetitions",
        title_justify="left",
        caption="\n".join(_lines(report)),
        caption_justify="left",
    )
    for column in ("engine", "task", "phase"):
        result.add_column(column, no_wrap=True)
    for column in ("p50 ms", "p99 ms", "ours / theirs", "95%", "share of the limit"):
        result.add_column(column, justify="right")
    for engine, tasks in sorted(report["milliseconds"].items(), key=lambda item: item[0] != "ours"):
        for task, phases in tasks.items():
            for phase, summary in phases.items():
                compared = report["ratios"].get(engine, {}).get(task, {}).get(phase)
                shown = (
                    ("", "") if compared is None else (f"{compared[0]:.2f}", f"{compared[1]:.2f} to {compared[2]:.2f}")
                )
                share = f"{report['shares'][task][phase]:.0%}" if engine == "ours" else ""
                times = (f"{summary['p50_ms']:.2f}", f"{summary['p99_ms']:.2f}")
                result.add_row(engine, task, phase, *times, *shown, share)
        result.add_section()
    return result


def _lines(report: dict[str, Any]) -> list[str]:
    ceilings, longer = report["ceilings"], report["think_then_act_over_act"]
    settings = (
        f"{engine} ({', '.join(f'{key} {value}' for key, value in chosen.items())})"
        for engine, chosen in report["settings"].items()
    )
    differ = (f"{engine} {counts}" for engine, counts in report["answers_that_differ"].items())
    lines = [
        f"settings: {'; '.join(settings)}",
        f"answers that differ from ours: {'; '.join(differ)}",
        f"this machine on {ceilings['threads']} threads: reads {ceilings['bytes_per_second'] / 1e9:.1f} GB/s of "
        f"{ceilings['read_bytes'] / 2**20:.0f} MiB, multiplies float32 at {ceilings['float32_per_second'] / 1e9:.0f} "
        f"GFLOP/s and int8 at {ceilings['int8_per_second'] / 1e9:.0f} GOP/s ({ceilings['int8_by']})",
    ]
    if longer:
        speeds = ", ".join(f"{engine} {speed:.0f}" for engine, speed in report["thought_tokens_per_second"].items())
        lines.append(f"thought tokens a second: {speeds}; ours takes {longer} times as long when it thinks first")
    return lines
