"""Types of the compiled core; csrc/bind defines what they do."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

class CoreError(Exception):
    """One line: subject, expected, received."""

    subject: str
    expected: str
    received: str

def quantization_types() -> list[str]: ...
def quantization_block(type: str) -> int: ...
def quantize(type: str, values: NDArray[np.float32], importance: NDArray[np.float32] | None = None) -> NDArray[np.uint8]: ...
def dequantize(type: str, bytes: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float32]: ...
def system() -> dict[str, object]: ...
