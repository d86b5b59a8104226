"""Reads the tensors of a bundle's GGUF file: float32 values, or blocks of 32 weights as MatMulNBits holds them.

Q4_0 and Q8_0 are kept bit for bit. Other block types are rounded to one of the two, which is what MatMulNBits and
TensorRT compute with: 4 bit types to Q4_0, those above to Q8_0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, ReaderTensor, quants
from numpy.typing import NDArray

from hyt.export.quantization import quantize_rows

BLOCK = 32
_CHUNK = 2**21  # weights at a time
_FLOAT = (Type.F32, Type.F16, Type.BF16)
_OF_8_BITS = (Type.Q8_0, Type.Q5_0, Type.Q5_1, Type.Q5_K, Type.Q6_K)


@dataclass(frozen=True)
class Blocks:
    """Rows in blocks: unsigned values (rows, blocks, bytes), low nibble first, 8 or 128 standing for 0; scales float32
    (rows, blocks)."""

    values: NDArray[np.uint8]
    scales: NDArray[np.float32]


class GgufTensors:
    """The tensors of one file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._tensors: dict[str, ReaderTensor] = {tensor.name: tensor for tensor in GGUFReader(path).tensors}

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape as numpy sees it, (rows, columns) for a matrix."""
        return tuple(int(length) for length in reversed(self._tensors[name].shape))

    def bits(self, name: str) -> int:
        """4 or 8 of a tensor in blocks, 32 of one in floats."""
        type = self._tensors[name].tensor_type
        return 32 if type in _FLOAT else 8 if type in _OF_8_BITS else 4

    def rounded(self, name: str) -> str:
        """From which type to which its weights are rounded, as in `q4_k to q4_0`; empty where they are kept."""
        type = self._tensors[name].tensor_type
        if type in (*_FLOAT, Type.Q4_0, Type.Q8_0):
            return ""
        return f"{type.name.lower()} to {_target(self.bits(name))}"

    def floats(self, name: str) -> NDArray[np.float32]:
        """The whole tensor as float32; for small ones."""
        return np.concatenate(list(self.float_rows(name))).reshape(self.shape(name))

    def float_rows(self, name: str, rows: Sequence[int] | None = None) -> Iterator[NDArray[np.float32]]:
        """The tensor's rows, or those named, as float32 (some rows, columns)."""
        type, columns = self._tensors[name].tensor_type, self.shape(name)[-1]
        for stored in self._stored(name, rows):
            yield np.ascontiguousarray(quants.dequantize(stored, type), np.float32).reshape(-1, columns)

    def block_rows(self, name: str, rows: Sequence[int] | None = None) -> Iterator[Blocks]:
        """The same in blocks; only for a tensor of 4 or 8 bits."""
        target = _target(self.bits(name))
        unpack = _from_q8_0 if target == "q8_0" else _from_q4_0
        if self._tensors[name].tensor_type.name.lower() == target:
            for stored in self._stored(name, rows):
                yield unpack(stored)
            return
        for values in self.float_rows(name, rows):
            yield unpack(quantize_rows(target, values)[0])

    def _stored(self, name: str, rows: Sequence[int] | None) -> Iterator[NDArray[Any]]:
        """Rows as they are stored, about _CHUNK weights at a time."""
        data = self._tensors[name].data
        data = data.reshape(math.prod(self.shape(name)[:-1]), -1)
        step = max(1, _CHUNK // self.shape(name)[-1])
        chosen = np.arange(len(data)) if rows is None else np.asarray(rows)
        for first in range(0, len(chosen), step):
            yield np.ascontiguousarray(data[chosen[first : first + step]])


def _target(bits: int) -> str:
    return "q8_0" if bits == 8 else "q4_0"


def _from_q4_0(stored: NDArray[np.uint8]) -> Blocks:
    """A block: float16 scale, 16 bytes with weight i in the low and weight i + 16 in the high nibble of byte i."""
    blocks = stored.reshape(len(stored), -1, 2 + BLOCK // 2)
    packed = blocks[:, :, 2:]
    weights = np.concatenate([packed & 15, packed >> 4], axis=-1)
    return Blocks(weights[..., ::2] | weights[..., 1::2] << 4, _scales(blocks))


def _from_q8_0(stored: NDArray[np.uint8]) -> Blocks:
    """A block: float16 scale, 32 signed bytes."""
    blocks = stored.reshape(len(stored), -1, 2 + BLOCK)
    return Blocks(blocks[:, :, 2:] ^ np.uint8(128), _scales(blocks))


def _scales(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[..., 0].astype(np.float32)
