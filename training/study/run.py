"""Runs the study stage by stage: fit a policy, evaluate it, next; what is done already is not done again.

OUT/design.json          what the study is; another design is refused in the same folder
OUT/fits/METHOD-N/       checkpoint of a fit, which goes on from its last save
OUT/fits/METHOD-N.json   written when the fit is done
OUT/episodes.jsonl       log of all evaluated episodes
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hyt.dataset import Dataset
from hyt.errors import InputError
from hyt.runtime.cli.output import write_json
from hyt.runtime.json_file import read_json
from hyt.training.evaluation.entries import open_entries
from hyt.training.evaluation.log import Log, open_log
from hyt.training.evaluation.run import Plan, evaluate
from hyt.training.evaluation.summary import Group
from hyt.training.fit import fit
from hyt.training.hybrid import METHODS as WEIGHTS
from hyt.training.hybrid import Weights
from hyt.training.model import SIZES
from hyt.training.recipe import Recipe
from hyt.training.start import random_start
from hyt.training.study.design import METHODS, Design, Fit, Outcome, first_episodes

Report = Callable[[dict[str, Any]], None]

SAVE_EVERY = 250
"""Steps between saves of a fit: what a killed study loses at most."""

_LIMIT = 1 << 20


def run_study(
    design: Design,
    data: Dataset,
    output: Path,
    *,
    workers: int,
    batch: int = 32,
    memory: int = 2 << 30,
    report: Report,
) -> list[Outcome]:
    """Fit and evaluate every policy of the design in `output`; returns them in the order of `design.fits()`.

    workers: processes of the evaluation; memory: bytes of images that a fit keeps. Raises InputError when `output`
    holds another study, and what fits and evaluations raise.
    """
    (output / "fits").mkdir(parents=True, exist_ok=True)
    _check_design(design, output / "design.json", batch)
    outcomes = []
    fits = design.fits()
    with open_log(output / "episodes.jsonl") as log:
        for number, one in enumerate(fits, 1):
            report({"stage": f"{number} of {len(fits)}", "fit": one.name})

            def say(values: dict[str, Any], name: str = one.name) -> None:
                report({"fit": name, **values})

            facts = _fit(one, design, data, output, batch, memory, say)
            outcomes.append(_evaluate(one, design, output, log, workers, facts, report))
    return outcomes


def _fit(
    one: Fit, design: Design, data: Dataset, output: Path, batch: int, memory: int, report: Report
) -> dict[str, Any]:
    """Fit one policy unless that is done; returns what it was fitted on and how long that took."""
    done = output / "fits" / f"{one.name}.json"
    if done.exists():
        facts: dict[str, Any] = read_json(done, _LIMIT, InputError)
        return facts
    chosen = first_episodes(data, design.tasks, one.episodes)
    recipe = Recipe(positions=design.positions, batch=batch, seed=design.seed, weights=Weights(*WEIGHTS[one.method]))
    start = random_start(SIZES[design.size], one.name, design.seed)
    parameters = sum(parameter.numel() for parameter in start.model.parameters())
    began = time.monotonic()
    fit(chosen, output / "fits" / one.name, start, recipe, save_every=SAVE_EVERY, memory=memory, report=report)
    facts = {
        "decisions": len(chosen),
        "parameters": parameters,
        # Of the last run alone when the fit was stopped on its way.
        "seconds": round(time.monotonic() - began, 1),
    }
    write_json(done, facts)
    return facts


def _evaluate(
    one: Fit, design: Design, output: Path, log: Log, workers: int, facts: dict[str, Any], report: Report
) -> Outcome:
    """Evaluate one policy in the modes of its method, in float32."""
    modes = METHODS[one.method]
    with tempfile.TemporaryDirectory(prefix="hyt-study-") as scratch:
        (entry,) = open_entries([output / "fits" / one.name], ["f32"], Path(scratch))
        entry = replace(entry, name=one.name)
        plan = Plan([entry], modes, design.tasks, design.seeds)
        records = evaluate(plan, log, workers=workers, report=report)
    groups = tuple(Group(one.name, mode, [record for record in records if record.mode == mode]) for mode in modes)
    return Outcome(one, facts["decisions"], facts["seconds"], groups)


def _check_design(design: Design, path: Path, batch: int) -> None:
    """Write the design, or compare with the one that is there; more or other evaluation seeds are no other study."""
    ours = {**asdict(design), "batch": batch}
    del ours["seeds"]
    ours = {name: list(value) if isinstance(value, tuple) else value for name, value in ours.items()}
    if not path.exists():
        write_json(path, ours)
        return
    theirs = read_json(path, _LIMIT, InputError)
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise InputError(
                f"study {path.parent}: {name}",
                expected=str(theirs.get(name)),
                received=str(value),
                remedy="name another folder for another study",
            )
