"""The log of an evaluation survives being killed, and refuses what is not its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyt.errors import InputError
from hyt.training.evaluation.log import Job, Record, open_log

FIRST = Record("p", "act", "drawer-open-v3", 7, True, 3, 0, 1.5, [], {"policy": [1.0, 2.0, 3.0]})
SECOND = Record("p", "think", "drawer-open-v3", 7, False, thought_tokens=[4, 5], refusal="unknown 'words'")


def job(record: Record) -> Job:
    return Job(record.policy, "somewhere.hyt", record.mode, record.task, record.seed)


def test_what_was_added_is_there_when_the_log_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with open_log(path) as log:
        log.add(FIRST)
        log.add(SECOND)
    with open_log(path) as log:
        assert log.get(job(FIRST)) == FIRST
        assert log.get(job(SECOND)) == SECOND
        assert log.get(Job("other", "", "act", "drawer-open-v3", 7)) is None


@pytest.mark.parametrize("torn", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_and_the_next_begins_where_it_stood(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "log.jsonl"
    with open_log(path) as log:
        log.add(FIRST)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:torn])
    with open_log(path) as log:
        assert log.get(job(FIRST)) == FIRST
        log.add(SECOND)
    assert path.read_bytes().startswith(whole)
    with open_log(path) as log:
        assert log.get(job(SECOND)) == SECOND


@pytest.mark.parametrize("line", ["no json", "[]", '{"policy": "p", "colour": 3}', '{"policy": "p"}'])
def test_a_file_that_is_no_log_is_refused_and_left_as_it_is(tmp_path: Path, line: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(line + "\n")
    refusal = pytest.raises(InputError, match=r"notes.txt, line 1; expected an episode of hyt-train evaluate; ")
    with refusal, open_log(path):
        pass
    assert path.read_text() == line + "\n"


def test_without_a_file_records_are_kept_for_the_run() -> None:
    with open_log(None) as log:
        log.add(FIRST)
        assert log.get(job(FIRST)) == FIRST
