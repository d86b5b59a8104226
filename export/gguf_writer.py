"""Writes one GGUF file from planned tensors, row block by row block, so that memory does not grow with the model.

[header, keys, tensor infos]   by gguf-py's writer, sizes known from the chosen types
[tensor data]                  each padded to 32 bytes: read rows, quantise (on several threads), append
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from hyt.errors import CheckpointError
from hyt.export.families.base import TensorPlan
from hyt.export.quantization import ErrorSum, Rounder, TypeChoice, ggml_type, quantize_rows, stored_size

BLOCK_ELEMENTS = 2**21  # weights quantised at a time, per thread: 8 MiB of float32 and a few copies
Progress = Callable[[str, int], None]  # GGUF name of the tensor, float32 bytes done since the last call

RounderFor = Callable[[TensorPlan, str], Rounder]
"""Gives the rounder of a tensor to a type; called once a tensor, in the order of the file."""


def plainly(plan: TensorPlan, type: str) -> Rounder:
    """Round each weight by itself."""
    return partial(quantize_rows, type)


class Source(Protocol):
    """Where planned tensors are read from: a checkpoint's weights, or its small heads."""

    path: Path

    def read_rows(self, name: str, first: int, count: int) -> NDArray[np.float32]:
        """Rows of a tensor seen as (shape[0], rest), float32 (count, rest); raises CheckpointError unless finite."""


def write_gguf(
    path: Path,
    architecture: str,
    add_keys: Callable[[GGUFWriter], None],
    source: Source,
    plans: Sequence[TensorPlan],
    choices: Mapping[str, TypeChoice],
    threads: int,
    progress: Progress,
    rounder_for: RounderFor = plainly,
) -> dict[str, ErrorSum]:
    """Write `path`; the error of each tensor by GGUF name. Raises CheckpointError for a weight its type cannot hold."""
    writer = GGUFWriter(path, architecture)
    add_keys(writer)
    for plan in plans:
        type = choices[plan.name].type
        size = stored_size(type, plan.shape)
        writer.add_tensor_info(plan.name, plan.shape, np.dtype(np.float32), size, raw_dtype=ggml_type(type))
    errors: dict[str, ErrorSum] = {}
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        file = writer.fout[0]
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for plan in plans:
                errors[plan.name] = total = ErrorSum()
                writer.write_padding(file, file.tell())
                rounder = rounder_for(plan, choices[plan.name].type)
                for stored, error in _quantized(pool, threads, source, plan, rounder):
                    if not math.isfinite(error.squared_error):
                        raise _overflow(source, plan, choices[plan.name].type)
                    file.write(stored.data)
                    total.add(error)
                    progress(plan.name, 4 * error.count)
        writer.write_padding(file, file.tell())
    finally:
        writer.close()
    return errors


def _quantized(
    pool: ThreadPoolExecutor, threads: int, source: Source, plan: TensorPlan, rounder: Rounder
) -> Iterator[tuple[NDArray[np.uint8], ErrorSum]]:
    """Blocks of rows in their order, at most a few of them in memory."""
    columns = plan.shape[-1]
    source_rows = plan.shape[0] if len(plan.shape) > 1 else 1
    per_row = math.prod(plan.shape) // source_rows
    whole = len(plan.shape) == 1 or plan.saved_shape[0] == 1  # read at once, as it is small
    step = source_rows if whole else max(1, BLOCK_ELEMENTS // per_row)
    if plan.pairs:  # whole heads, so that each can be put in order by itself
        step = max(1, step // plan.pairs) * plan.pairs

    def work(first: int) -> tuple[NDArray[np.uint8], ErrorSum]:
        count = min(step, source_rows - first)
        if whole:
            rows = _whole(source, plan)
            rows = _padded(rows, len(rows) + plan.zeros[0], 0).reshape(source_rows, -1)
        else:
            there = max(0, min(count, plan.shape[0] - plan.zeros[0] - first))
            rows = _padded(source.read_rows(plan.source, plan.first + first, there), count, plan.zeros[1])
        if plan.pairs:
            rows = _halves_in_turn(rows, plan.pairs)
        matrix = (rows + np.float32(plan.add) if plan.add else rows).reshape(-1, columns)
        stored, error = rounder(matrix)
        return stored.reshape(count, -1), error

    pending: deque[Future[tuple[NDArray[np.uint8], ErrorSum]]] = deque()
    try:
        for first in range(0, source_rows, step):
            if len(pending) > threads:
                yield pending.popleft().result()
            pending.append(pool.submit(work, first))
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _whole(source: Source, plan: TensorPlan) -> NDArray[np.float32]:
    """A small tensor as its rows in the checkpoint: elements of a vector, or the one in front."""
    if plan.values:
        return np.array(plan.values, np.float32)[:, None]
    count = plan.shape[0] - plan.zeros[0] if len(plan.saved_shape) == 1 else plan.saved_shape[0]
    return source.read_rows(plan.source, plan.first, count)


def _padded(rows: NDArray[np.float32], count: int, columns: int) -> NDArray[np.float32]:
    """The rows with zero rows below them, up to `count`, and `columns` zeros behind each."""
    if len(rows) == count and not columns:
        return rows
    return np.pad(rows, ((0, count - len(rows)), (0, columns)))


def _halves_in_turn(rows: NDArray[np.float32], head_dim: int) -> NDArray[np.float32]:
    """Rows 0, 1, 2, ... of each head as rows 0, head_dim / 2, 1, head_dim / 2 + 1, ..."""
    halves = rows.reshape(-1, 2, head_dim // 2, rows.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def _overflow(source: Source, plan: TensorPlan, type: str) -> CheckpointError:
    return CheckpointError(
        f"{source.path}: tensor {plan.source!r}",
        expected=f"weights that {type} can hold",
        received="larger ones",
        remedy="export with --quantization f32",
    )
