"""The parity of a policy for a person: one line for each modality."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from hyt.export.parity.compare import DimensionError, ModalityParity, Parity

_METRES_IN = {"m": (1e3, "mm"), "m/s": (1e3, "mm/s")}


def parity_table(parity: Parity, reference: str) -> Table:
    """Agreement, logits and action error of each modality of one policy against the reference."""
    title = f"{parity.quantization} in {parity.backend} against {reference}, on observations held out from calibration"
    table = Table(title=Text(title), title_justify="left")
    columns = (
        "modality",
        "action tokens",
        "as float (95%)",
        "thoughts as float",
        "logit error",
        "action error (largest)",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "modality" else "right")
    for name, modality in parity.modalities.items():
        table.add_row(name, *_cells(modality), "\n".join(map(_error, modality.actions)))
    return table


def _cells(modality: ModalityParity) -> tuple[str, str, str, str]:
    def part(value: float | None) -> str:
        return "-" if value is None else f"{value:.2%}"

    mean, largest = modality.logit_error_mean, modality.logit_error_largest
    logits = "-" if mean is None or largest is None else f"{mean:.3g} ({largest:.2g})"
    agreeing = part(modality.agreement)
    if modality.interval is not None:
        agreeing += " ({:.1%} to {:.1%})".format(*modality.interval)
    return str(modality.action_tokens or "-"), agreeing, part(modality.equal_thoughts), logits


def _error(error: DimensionError) -> str:
    factor, unit = _METRES_IN.get(error.unit, (1.0, error.unit))
    return f"{error.name} {error.mean * factor:.2g} ({error.largest * factor:.2g}) {unit}"
