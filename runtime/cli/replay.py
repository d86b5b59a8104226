"""hyt-run replay: ask the policy again what a recording says it was asked, and compare."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hyt.errors import BundleError, ReplayError
from hyt.runtime.backends.core import KV_TYPES, MOST_THREADS, SPECULATE
from hyt.runtime.bundle import describe_file
from hyt.runtime.cli.loading import add_signature_option
from hyt.runtime.cli.output import check_output, describe_bundle, machine, versions, write_json
from hyt.runtime.manifest import MANIFEST_NAME
from hyt.runtime.policy import BACKENDS, load
from hyt.runtime.record.format import SUFFIX, RecordedThought
from hyt.runtime.record.recording import Recording, find_recordings
from hyt.runtime.record.replay import Replay, replay


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("replay", help="repeat a recorded drive and name the first step that differs")
    parser.add_argument("recording", type=Path, metavar="DIR|FILE", help="what hyt-run drive --record wrote")
    parser.add_argument("--bundle", type=Path, metavar="NAME.hyt", help="the policy (default: where it lay then)")
    parser.add_argument("--any-bundle", action="store_true", help="another policy than the recorded one, to compare")
    parser.add_argument("--backend", choices=BACKENDS, help="engine that computes the policy (default: as then)")
    parser.add_argument("--device", metavar="NAME", help="what the core computes on (default: as then)")
    parser.add_argument("--threads", type=int, help="threads of the engine (default: as many as then)")
    add_signature_option(parser)
    parser.add_argument("--list", action="store_true", help="show what the recordings hold, and ask no policy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results; one that is there is replaced")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Replay every recording and print the table; raises ReplayError when one differs."""
    check_output(options.json)
    recordings = [Recording(path) for path in find_recordings(options.recording)]
    console = Console(highlight=False)
    if options.list:
        contents = [_contents(recording) for recording in recordings]
        console.print(_contents_table(contents))
        if options.json is not None:
            write_json(options.json, {"command": "replay --list", "recordings": contents})
        return
    results: list[Replay] = []
    with ExitStack() as stack:
        loaded: dict[str, Any] = {}
        for recording in recordings:
            wanted = _loading(recording, options)
            if wanted != loaded:
                stack.close()  # one policy in memory at a time
                loaded, policy = wanted, stack.enter_context(load(**wanted))
            results.append(replay(recording, policy, gate_threshold=_threshold(recording)))
        bundle = describe_bundle(policy.bundle)
    console.print(_table(results))
    for line in _remarks(results):
        console.print(_plain(line), markup=False, soft_wrap=True)
    if options.json is not None:
        report = {
            "command": "replay",
            "bundle": bundle,
            "recordings": [_as_dict(result) for result in results],
            "versions": versions(),
            "machine": machine(),
        }
        write_json(options.json, report)
    for result in results:
        if result.first is not None:
            raise ReplayError(
                f"{result.recording.path}: decision {result.first.decision}: {_plain(result.first.what)}",
                expected=result.first.expected,
                received=result.first.received,
                remedy=_circumstances(result.recording),
            )


def _loading(recording: Recording, options: argparse.Namespace) -> dict[str, Any]:
    """How to load the policy, as it was then; raises BundleError for another policy than the recorded one."""
    recorded = recording.run.bundle
    path = options.bundle or Path(recorded.path)
    if not path.is_dir():
        remedy = "name the bundle with --bundle" if options.bundle is None else ""
        raise BundleError(str(path), expected="a bundle directory", received="no such directory", remedy=remedy)
    manifest = path / MANIFEST_NAME
    found = describe_file(manifest).sha256 if manifest.is_file() else "none"
    if not options.any_bundle and found != recorded.manifest_sha256:
        raise BundleError(
            f"{path}: {MANIFEST_NAME}",
            expected=f"SHA-256 {recorded.manifest_sha256[:16]}... as in {recording.path}",
            received=f"{found[:16]}...",
            remedy="give the recorded bundle, or --any-bundle to compare another policy",
        )
    then, threads = recording.run.options, recording.run.backend.get("threads")
    backend = options.backend or _one_of(BACKENDS, then.get("backend"))
    return {
        "path": path,
        "threads": options.threads if options.threads is not None else threads if _is_count(threads) else 0,
        "kv_type": _one_of(KV_TYPES, then.get("kv")),
        "mapped": then.get("mapped") is True,
        "speculate": _one_of(SPECULATE, then.get("speculate")),
        "backend": backend,
        "device": options.device or (str(then.get("device", "cpu")) if backend == "core" else "cpu"),
        "provider": then.get("provider") if options.backend is None else None,
        "require_signature": options.require_signature,
    }


def _is_count(number: object) -> bool:
    return isinstance(number, int) and 0 < number <= MOST_THREADS


def _one_of(choices: Sequence[str], said: object) -> str:
    return str(said) if said in choices else choices[0]


def _threshold(recording: Recording) -> float | None:
    said = recording.run.options.get("gate_threshold")
    return float(said) if isinstance(said, (int, float)) and 0 <= said <= 1 else None


def _contents(recording: Recording) -> dict[str, Any]:
    """What a recording holds, read to its end."""
    run, decisions, thoughts, seconds = recording.run, 0, 0, 0.0
    for item in recording.steps():
        if isinstance(item, RecordedThought):
            thoughts += item.state != "writing"
        else:
            decisions += 1
            thoughts += item.decision.thought_ids is not None
            seconds = item.decision.acknowledged
    ending = recording.ending
    return {
        "file": str(recording.path),
        "started": run.started,
        "robot": run.robot,
        "instruction": run.instruction,
        "modality": run.modality,
        "seed": run.seed,
        "bundle": run.bundle.model_dump(),
        "cameras": {name: [camera.height, camera.width] for name, camera in run.cameras.items()},
        "decisions": decisions,
        "thoughts": thoughts,
        "seconds": round(seconds if ending is None else ending.seconds, 3),
        "success": None if ending is None else ending.success,
        "ended": f"unfinished: {recording.cut}" if ending is None else ending.ended,
    }


def _contents_table(contents: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("file", "robot", "modality"):
        table.add_column(name, overflow="fold")
    for name in ("decisions", "thoughts", "s"):
        table.add_column(name, justify="right")
    table.add_column("policy", overflow="fold")
    table.add_column("ended", overflow="fold")
    for one in contents:
        solved = ", solved" if one["success"] else ""
        cells = [_stem(one["file"]), _task(one["robot"]), one["modality"], str(one["decisions"])]
        cells += [str(one["thoughts"]), f"{one['seconds']:.1f}", one["bundle"]["name"], one["ended"] + solved]
        table.add_row(*map(_cell, cells))
    return table


def _table(results: Sequence[Replay]) -> Table:
    table = Table(title="replayed", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("file", "robot", "modality"):
        table.add_column(name, overflow="fold")
    for name in ("decisions", "differ", "tokens", "same", "thoughts", "s"):
        table.add_column(name, justify="right")
    for result in results:
        run = result.recording.run
        cells = [_stem(result.recording.path), _task(run.robot), run.modality, result.decisions, result.differing]
        cells += [result.tokens, result.same_tokens, result.thoughts, f"{result.seconds:.1f}"]
        table.add_row(*map(_cell, cells))
    return table


def _cell(value: object) -> Text:
    return Text(_plain(value))


def _plain(value: object) -> str:
    """What a file says commands no terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def _stem(path: Path | str) -> str:
    return Path(path).name.removesuffix(SUFFIX)


def _task(robot: str) -> str:
    return robot.rpartition("/")[2]


def _remarks(results: Sequence[Replay]) -> list[str]:
    """What the table does not say: unfinished files, and by how much actions differ."""
    lines = []
    for result in results:
        recording = result.recording
        if recording.ending is None:
            lines.append(f"{recording.path.name} is unfinished: {recording.cut}; replayed up to there")
        if result.differing and result.rows:
            means = zip(recording.run.action, result.errors / result.rows, strict=True)
            said = ", ".join(f"{d.name} {mean:.2g} {d.unit}".rstrip() for d, mean in means)
            lines.append(f"{recording.path.name}: mean difference of the actions: {said}")
    return lines


def _as_dict(result: Replay) -> dict[str, Any]:
    first = result.first
    return {
        "file": str(result.recording.path),
        "identical": first is None,
        "finished": result.recording.ending is not None,
        "decisions": result.decisions,
        "differing": result.differing,
        "tokens": result.tokens,
        "same_tokens": result.same_tokens,
        "thoughts": result.thoughts,
        "mean_difference": [error / max(result.rows, 1) for error in result.errors.tolist()],
        "seconds": round(result.seconds, 3),
        "first": None if first is None else vars(first),
    }


def _circumstances(recording: Recording) -> str:
    """What is other here than it was then and may round otherwise."""
    run, here = recording.run, machine()
    other = [name for name, version in versions().items() if run.versions.get(name, version) != version]
    if run.machine.get("processor") != here["processor"]:
        other.append("processor")
    return f"other than then: {', '.join(other)}" if other else ""
