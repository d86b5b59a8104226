"""Tests of benchmarks/contestants/trials.py: the fastest settings win, and a file saves what was tried."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from contestants.case import case_of
from contestants.trials import Entrant, Trials


def test_settings_in_the_file_are_not_tried_again_and_the_fastest_wins(tiny_bundle: Path, tmp_path: Path) -> None:
    case, file, said = case_of(tiny_bundle, 0), tmp_path / "trials.json", list[str]()
    choices = itertools.product((2, 1), ("on", "off"), (True, False), ("f16", "f32"))
    known = {
        f"{case.name}: llama.cpp (threads {number}, flash {flash}, repack {repack}, cache {cache})": 1e9 - number
        for number, flash, repack, cache in choices
    }
    fastest = f"{case.name}: llama.cpp (threads 2, flash off, repack True, cache f16)"
    known[fastest] = 3.0
    file.write_text(json.dumps(known))
    best = Trials(file, said.append).best(Entrant("llama.cpp", ("act",)), case, 2, [])
    assert best == {"threads": 2, "flash": "off", "repack": True, "cache": "f16"}
    assert len(said) == 16
    assert json.loads(file.read_text()) == known


def test_what_is_tried_is_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    case, file = case_of(tiny_bundle, 0), tmp_path / "trials.json"
    prefixes = [[2 + number] * case.prefix for number in range(3)]
    best = Trials(file, print).best(Entrant("llama.cpp", ("act",)), case, 1, prefixes)
    kept = json.loads(file.read_text())
    assert len(kept) == 8
    answered = [seconds for seconds in kept.values() if seconds is not None]  # see tests/stock_llama.py
    assert len(answered) >= 4
    assert min(answered) > 0
    shown = ", ".join(f"{key} {value}" for key, value in best.items())
    assert kept[f"{case.name}: llama.cpp ({shown})"] == min(answered)
    assert Trials(file, print).of(case) == kept


def test_settings_with_which_an_engine_ends_are_told_and_not_chosen(tiny_bundle: Path) -> None:
    case, said = case_of(tiny_bundle, 0), list[str]()
    entrant = Entrant("llama.cpp", ("act",), {"no such setting": 1})
    with pytest.raises(SystemExit, match=r"^llama.cpp answers with none of its settings$"):
        Trials(None, said.append).best(entrant, case, 1, [[2] * case.prefix])
    assert sum(line.endswith(": no answer") for line in said) == 8
    assert sum("no such setting 1) ended with exit code 1" in line for line in said) == 8
