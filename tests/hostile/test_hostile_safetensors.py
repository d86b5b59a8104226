"""Safetensors files that lie: each is one line and exit code 3, in bounded memory, and nothing is written."""

from __future__ import annotations

import json
import resource
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused_export

from hyt.errors import CheckpointError
from hyt.export.safetensors_file import SafetensorsFile

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file_of(header: Any, data: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


HOSTILE = {
    "empty file": b"",
    "seven bytes": b"\0" * 7,
    "header length alone": struct.pack("<Q", 2),
    "header longer than the file": file_of({"w": ONE}, length=10**6),
    "header of 2**63 bytes": file_of({"w": ONE}, length=2**63),
    "header of 2**64 - 1 bytes": file_of({"w": ONE}, length=2**64 - 1),
    "header cut": file_of({"w": ONE})[:20],
    "header is no JSON": file_of(b"{'w': 1}"),
    "header is no UTF-8": file_of(b'{"\xff": {}}'),
    "header is a list": file_of([1, 2]),
    "header nested without end": file_of(b"[" * 200_000),
    "a name twice": file_of(b'{"w": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}, "w": {}}'),
    "entry is a number": file_of({"w": 3}),
    "entry without offsets": file_of({"w": {"dtype": "F32", "shape": [2]}}),
    "entry with a field more": file_of({"w": {**ONE, "code": "x"}}),
    "dtype is a list": file_of({"w": {**ONE, "dtype": ["F32"]}}),
    "negative length": file_of({"w": {**ONE, "shape": [-2]}}),
    "length is a fraction": file_of({"w": {**ONE, "shape": [2.0]}}),
    "length is true": file_of({"w": {**ONE, "shape": [True, 2]}}),
    "length beyond any memory": file_of({"w": {**ONE, "shape": [2**62]}}),
    "length of 4000 digits": file_of(b'{"w": {"dtype":"F32","shape":[' + b"9" * 4000 + b'],"data_offsets":[0,8]}}'),
    "product beyond any memory": file_of({"w": {**ONE, "shape": [2**40, 2**40]}}),
    "a thousand dimensions": file_of({"w": {**ONE, "shape": [1] * 1000}}),
    "shape larger than its bytes": file_of({"w": {**ONE, "shape": [3]}}),
    "offsets backwards": file_of({"w": {**ONE, "data_offsets": [8, 0]}}),
    "offsets negative": file_of({"w": {**ONE, "data_offsets": [-8, 0]}}),
    "one offset": file_of({"w": {**ONE, "data_offsets": [8]}}),
    "offsets beyond the file": file_of({"w": {**ONE, "data_offsets": [8, 16]}}),
    "two tensors on the same bytes": file_of({"v": ONE, "w": ONE}),
    "tensors that overlap": file_of({"v": ONE, "w": {**ONE, "data_offsets": [4, 12]}}, b"\0" * 12),
    "a gap between tensors": file_of({"v": ONE, "w": {**ONE, "data_offsets": [12, 20]}}, b"\0" * 20),
    "bytes behind the last tensor": file_of({"w": ONE}, b"\0" * 9),
    "data cut": file_of({"w": ONE}, b"\0" * 7),
    "an unknown dtype of any size": file_of({"w": {"dtype": "F4", "shape": [7], "data_offsets": [0, 8]}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_lying_file_is_refused_in_one_line(
    checkpoint_copy: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    (checkpoint_copy / "model.safetensors").write_bytes(HOSTILE[name])
    line = refused_export(checkpoint_copy, 3, capfd)
    assert "model.safetensors" in line or "weights" in line


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99999])
def test_a_truncated_checkpoint_is_refused_wherever_it_ends(
    checkpoint_copy: Path, capfd: pytest.CaptureFixture[str], share: float
) -> None:
    path = checkpoint_copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "copy or download the checkpoint again" in refused_export(checkpoint_copy, 3, capfd)


def test_a_hole_of_a_terabyte_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of({"w": ONE}, length=2**40 - 8))
    with path.open("r+b") as file:
        file.truncate(2**40)  # sparse: the header's length now fits the file
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="header length"):
        SafetensorsFile(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise_anything_but_our_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, framed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(file_of(data) if framed else data)
    with suppress(CheckpointError):
        SafetensorsFile(path).close()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_changed_byte_of_a_header_raises_anything_but_our_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(
        file_of({"v": ONE, "w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [8, 16]}}, b"\0" * 16)
    )
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    path.write_bytes(content)
    with suppress(CheckpointError), SafetensorsFile(path) as file:
        for name, entry in file.entries.items():
            if entry.shape and entry.dtype in ("F32", "F16", "BF16"):
                file.read_rows(name, 0, entry.shape[0])
