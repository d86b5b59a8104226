"""Which type every tensor gets, and how its weights are rounded to it."""

from hyt.export.quantization.importance import InputStatistics
from hyt.export.quantization.method import METHODS, Method, Rounder, default_method, method_of, rounder_for
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
    "METHODS",
    "REQUESTS",
    "ErrorSum",
    "InputStatistics",
    "Method",
    "Request",
    "Rounder",
    "TypeChoice",
    "block_size",
    "choose_head_types",
    "choose_types",
    "default_method",
    "fitting_type",
    "ggml_type",
    "method_of",
    "quantize_rows",
    "rounder_for",
    "stored_size",
]
