"""A bundle appears whole or not at all, whatever happens to the process that writes it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hyt.errors import OutputExistsError
from hyt.runtime import bundle_writer
from hyt.runtime.bundle_writer import write_bundle


def write(target: Path, content: str, *, force: bool = False) -> None:
    with write_bundle(target, force=force) as fresh:
        (fresh / "manifest.json").write_text(content)


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_the_target_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.hyt"
    with write_bundle(target) as fresh:
        (fresh / "manifest.json").write_text("1")
        assert not target.exists()
        assert fresh.parent == target.parent
    assert names(target.parent) == ["a.hyt"]
    assert (target / "manifest.json").read_text() == "1"


def test_a_bundle_is_readable_by_others_as_the_umask_says(tmp_path: Path) -> None:
    write(tmp_path / "a.hyt", "1")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.hyt").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with write_bundle(tmp_path / "a.hyt") as fresh:
            (fresh / "manifest.json").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_an_existing_bundle_stays_without_force_and_is_replaced_with_it(tmp_path: Path) -> None:
    target = tmp_path / "a.hyt"
    write(target, "old")
    with pytest.raises(OutputExistsError, match="--force"):
        write(target, "new")
    assert (target / "manifest.json").read_text() == "old"
    write(target, "new", force=True)
    assert (target / "manifest.json").read_text() == "new"
    assert names(tmp_path) == ["a.hyt"]


def test_a_replacement_that_fails_leaves_the_old_bundle(tmp_path: Path) -> None:
    target = tmp_path / "a.hyt"
    write(target, "old")

    def fail() -> None:
        with write_bundle(target, force=True):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert (target / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["a.hyt"]


def test_without_an_atomic_exchange_the_old_bundle_returns_when_the_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.hyt"
    write(target, "old")
    monkeypatch.setattr(bundle_writer, "_exchange", lambda a, b: False)
    write(target, "newer", force=True)
    assert (target / "manifest.json").read_text() == "newer"

    rename = Path.rename

    def refuse_the_fresh_one(self: Path, other: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError("disk trouble")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", refuse_the_fresh_one)
    with pytest.raises(OSError, match="disk trouble"):
        write(target, "newest", force=True)
    assert (target / "manifest.json").read_text() == "newer"
    assert names(tmp_path) == ["a.hyt"]


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_force_never_replaces_what_is_no_bundle(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "precious"
    if kind == "file":
        target.write_text("mine")
    elif kind == "directory":
        target.mkdir()
        (target / "thesis.tex").write_text("mine")
    else:
        target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputExistsError, match="something else"):
        write(target, "new", force=True)
    assert names(tmp_path) == ["precious"]


def test_leftovers_of_a_killed_writer_are_removed_and_those_of_a_living_one_kept(tmp_path: Path) -> None:
    (tmp_path / ".a.hyt.partial-dead").mkdir()
    with write_bundle(tmp_path / "a.hyt") as living:
        (living / "manifest.json").write_text("first")
        assert names(tmp_path) == [living.name]
        write(tmp_path / "b.hyt", "another name")
        assert names(tmp_path) == [living.name, "b.hyt"]
        write(tmp_path / "a.hyt", "the same name")
        assert living.is_dir()
        (tmp_path / "a.hyt").rename(tmp_path / "c.hyt")
    assert (tmp_path / "a.hyt" / "manifest.json").read_text() == "first"


def test_of_two_writers_the_second_to_finish_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "a.hyt"

    def be_slower() -> None:
        with write_bundle(target) as fresh:
            (fresh / "manifest.json").write_text("slow")
            write(target, "fast")

    with pytest.raises(OutputExistsError):
        be_slower()
    assert (target / "manifest.json").read_text() == "fast"
    assert names(tmp_path) == ["a.hyt"]
