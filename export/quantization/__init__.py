"""Which type every tensor gets, and how its weights are rounded to it."""

from hyt.export.quantization.rounding import ErrorSum, quantize_rows
from hyt.export.quantization.types import (
    HEAD_REQUESTS,
    REQUESTS,
    Request,
    TypeChoice,
    block_size,
    choose_head_types,
    choose_types,
    fitting_type,
    ggml_type,
    stored_size,
)

__all__ = [
    "HEAD_REQUESTS",
    "REQUESTS",
    "ErrorSum",
    "Request",
    "TypeChoice",
    "block_size",
    "choose_head_types",
    "choose_types",
    "fitting_type",
    "ggml_type",
    "quantize_rows",
    "stored_size",
]
