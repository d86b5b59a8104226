"""Columns of a data file as NumPy arrays, with the checks that a file of others needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hyt.errors import DatasetError


def vectors(column: pa.Array, where: str, name: str) -> npt.NDArray[np.float32]:
    """A column of number lists, or of plain numbers, as float32 (N, D)."""
    rows = len(column)
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    flat = column.flatten() if is_list else column
    numeric = pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type)
    even = not is_list or len(column.value_lengths().unique()) <= 1
    if not numeric or not even or column.null_count or flat.null_count:
        raise DatasetError(
            f"{where}, feature {name}",
            expected="equally many numbers in each row",
            received=f"{kind}, or missing values",
        )
    values = flat.to_numpy(zero_copy_only=False).astype(np.float32)
    if not np.isfinite(values).all():
        raise DatasetError(f"{where}, feature {name}", expected="finite numbers", received="infinity or NaN")
    shaped: npt.NDArray[np.float32] = values.reshape(rows, -1) if rows else values.reshape(0, 1)
    return shaped


def integers(column: pa.Array, where: str, name: str) -> npt.NDArray[np.int64]:
    """A column of whole numbers as int64 (N,)."""
    if not pa.types.is_integer(column.type) or column.null_count:
        raise DatasetError(f"{where}, feature {name}", expected="whole numbers", received=f"{column.type}")
    values: npt.NDArray[np.int64] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return values
