"""The peak of anonymous memory: what is allocated counts, what is mapped from a file does not."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from hyt.export.memory import anonymous_memory, watched_memory

SIZE = 64 * 2**20


def test_what_was_allocated_and_freed_is_in_the_peak() -> None:
    before = anonymous_memory()
    assert before is not None
    with watched_memory() as peak:
        for _ in range(200):  # until the watcher has had its turn
            block = np.ones(SIZE, np.uint8)
            if peak.bytes is not None and peak.bytes > before + SIZE // 2:
                break
            block.sum()
        del block
    assert peak.bytes is not None
    assert peak.bytes > before + SIZE // 2


def test_a_mapped_file_is_not_in_the_peak(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(SIZE))
    before = anonymous_memory()
    assert before is not None
    with (tmp_path / "file").open("rb") as file, watched_memory() as peak:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert np.frombuffer(mapping, np.uint8).sum() == 0
        watched = anonymous_memory()
    assert watched is not None
    assert watched < before + SIZE // 2
    assert peak.bytes is not None
    assert peak.bytes < before + SIZE // 2
