"""Writes a bundle so that it appears whole or not at all: a fresh directory beside the target, renamed at the end."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from hyt.errors import OutputExistsError
from hyt.runtime.bundle import describe_file
from hyt.runtime.manifest import MANIFEST_NAME, SEAL_NAME, SIGNATURE_NAME, FileEntry, Manifest, Signer
from hyt.runtime.seal import seal_of

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def write_bundle(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a fresh directory to fill; it becomes `target` when the block ends, and is removed when the block raises.

    An existing bundle is replaced only with `force`, and only after the block succeeded; what is no bundle is never
    replaced. Raises OutputExistsError. A process that is killed leaves `target` as it was; the fresh directory that it
    leaves behind is removed by the next write of the same name.
    """
    check_target(target, force=force)
    with scratch_directory(target) as fresh:
        yield fresh
        fresh.chmod(0o777 & ~_umask())
        _flush(fresh)
        check_target(target, force=force)
        # After an exchange `fresh` is the old bundle; after a plain rename there is nothing there any more.
        _put_in_place(fresh, target)
        _flush_directory(target.parent)


@contextmanager
def scratch_directory(target: Path) -> Iterator[Path]:
    """Give an empty directory beside `target`, removed when the block ends, or by the next write after a kill."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.partial-"
    _remove_abandoned(target.parent, prefix)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    lock = _lock(scratch)
    try:
        yield scratch
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(scratch, ignore_errors=True)


def check_target(target: Path, *, force: bool) -> None:
    """Raise OutputExistsError when `target` is there and may not be replaced."""
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not (target / MANIFEST_NAME).is_file():
        raise OutputExistsError(
            str(target),
            expected="a new name or a bundle to replace",
            received="something else",
            remedy="choose another name",
        )
    if not force:
        raise OutputExistsError(
            str(target), expected="no such output", received="an existing bundle", remedy="pass --force to replace it"
        )


def describe_files(directory: Path) -> dict[str, FileEntry]:
    """Entry of every file below `directory` by its name in the bundle, for the manifest."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): describe_file(path) for path in paths}


class Signs(Protocol):
    """A private key."""

    @property
    def signer(self) -> Signer:
        """How a manifest names it."""

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes."""


def write_manifest(directory: Path, manifest: Manifest, key: Signs | None = None) -> None:
    """Write `manifest.json`, its seal and, with a key, its signature: the last files of a bundle."""
    manifest = manifest.model_copy(update={"signed_by": None if key is None else key.signer})
    text = (manifest.model_dump_json(indent=1) + "\n").encode()
    (directory / MANIFEST_NAME).write_bytes(text)
    (directory / SEAL_NAME).write_bytes(seal_of(text))
    if key is not None:
        (directory / SIGNATURE_NAME).write_bytes(key.sign(text))


def _put_in_place(fresh: Path, target: Path) -> None:
    if not os.path.lexists(target):
        fresh.rename(target)
        return
    if _exchange(fresh, target):
        return
    # No atomic exchange on this system: between the two renames the old bundle has the other name.
    aside = fresh.with_name(fresh.name.replace(".partial-", ".replaced-"))
    target.rename(aside)
    try:
        fresh.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step (Linux renameat2); False where the system or the file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0)


def _lock(directory: Path) -> int | None:
    """Lock a directory for this process's life; None where another holds it or the file system knows no locks."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the fresh directories of writers that died: the kernel dropped their lock."""
    for path in parent.iterdir():
        if not path.name.startswith(prefix) or path.is_symlink() or not path.is_dir():
            continue
        lock = _lock(path)
        if lock is not None:
            os.close(lock)
            shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            _flush_directory(path)
    _flush_directory(directory)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
