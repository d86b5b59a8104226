"""Reads just enough of an ONNX file to refuse it before onnxruntime sees it: damage, and weights outside the bundle.

An ONNX file is a protobuf message, ModelProto; a field is a varint (number << 3 | wire type) and a value:

    ModelProto      7 graph: GraphProto   20 training_info: 1, 2 graphs    25 functions: 7 nodes, 11 attributes
    GraphProto      1 node: NodeProto      5 initializer: TensorProto     15 sparse_initializer
    NodeProto       5 attribute: AttributeProto
    AttributeProto  5 t: TensorProto       6 g: GraphProto                10 tensors     11 graphs
    TensorProto     13 external_data: {1 key, 2 value}
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from hyt.errors import BundleError
from hyt.runtime.manifest import ONNX_WEIGHTS

_LARGEST = 2**31 - 1  # of any protobuf message
_DEEPEST = 16  # graphs inside graphs
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# The fields above that lead to another message, by the message that holds them.
_INTO = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
    "external": {},
}


class _DamagedError(Exception):
    """What is wrong with a message."""


def check_model_file(path: Path) -> None:
    """Raise BundleError unless the file is a whole message and names no weights but the bundle's own, inside their
    file."""
    weights = path.parent / Path(ONNX_WEIGHTS).name
    size = weights.stat().st_size if weights.is_file() else 0
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            if not 0 < length <= _LARGEST:
                raise _DamagedError(f"{length} bytes")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for place in _external(data, 0, length, "model", 0):
                    _check_place(place, weights.name, size)
    except _DamagedError as problem:
        raise BundleError(
            str(path),
            expected=f"a whole ONNX model with weights in {weights.name} alone",
            received=str(problem),
            remedy="export the checkpoint again",
        ) from None


def _check_place(place: dict[str, str], name: str, size: int) -> None:
    if place.get("location") != name:
        raise _DamagedError(f"weights in {place.get('location', '')[:80]!r}")
    offset, length = (place.get(key, "") for key in ("offset", "length"))
    if not (_is_count(offset) and _is_count(length) and int(offset) + int(length) <= size):
        raise _DamagedError(f"weights at {offset[:20]!r} of length {length[:20]!r} in a file of {size} bytes")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _external(data: mmap.mmap, start: int, end: int, message: str, depth: int) -> Iterator[dict[str, str]]:
    """Where tensors lie outside the file, each as key and value, wherever in the message."""
    if depth > 4 * _DEEPEST:
        raise _DamagedError("graphs inside graphs without end")
    place: dict[str, str] = {}
    for field, wire, first, last in _fields(data, start, end):
        inner = _INTO[message].get(field)
        if inner is None or wire != _BYTES:
            continue
        if inner == "external":
            key, value = _entry(data, first, last)
            if key in place:
                raise _DamagedError(f"two places for {key!r} of a tensor")
            place[key] = value
        else:
            yield from _external(data, first, last, inner, depth + 1)
    if place:
        yield place


def _entry(data: mmap.mmap, start: int, end: int) -> tuple[str, str]:
    found = {1: "", 2: ""}
    for field, wire, first, last in _fields(data, start, end):
        if wire == _BYTES and field in found:
            if last - first > 4096:
                raise _DamagedError(f"a text of {last - first} bytes")
            found[field] = data[first:last].decode("utf-8", "replace")
    return found[1][:80], found[2]


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, first and last byte of each field's value."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        first = at
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _BYTES:
            length, first = _varint(data, at, end)
            at = first + length
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise _DamagedError(f"no protobuf message (wire type {wire})")
        if at > end or not tag >> 3:
            raise _DamagedError("a message that is cut off or damaged")
        yield tag >> 3, wire, first, at


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _DamagedError("a message that is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _DamagedError("a number without end")
