"""Whether a quantised policy still answers as the float one does."""

from hyt.export.parity.answers import Answer, Answers, ask, ask_logits
from hyt.export.parity.compare import ModalityParity, Parity, compare, divergence
from hyt.export.parity.table import parity_table

__all__ = [
    "Answer",
    "Answers",
    "ModalityParity",
    "Parity",
    "ask",
    "ask_logits",
    "compare",
    "divergence",
    "parity_table",
]
