"""What the user asks of a calibrated export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyt.errors import InputError
from hyt.export.calibration.samples import OBSERVATIONS
from hyt.export.quantization import METHODS, Method, default_method


@dataclass(frozen=True)
class CalibrationRequest:
    """Calibrate and judge on the data set in a folder.

    observations:  for each half: to calibrate on, and to judge by
    method:        how weights are rounded; None: as keeps most of what was asked for (`method_for`)
    min_agreement: part of the action tokens, in each modality, that must be the float policy's; None asks nothing
    """

    dataset: Path
    observations: int = OBSERVATIONS
    method: Method | None = None
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        """Raise InputError for what cannot be asked."""
        if self.method is not None and self.method not in METHODS:
            raise InputError("method", expected=f"one of {', '.join(METHODS)}", received=repr(self.method))
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise InputError("min agreement", expected="0 to 1", received=str(self.min_agreement))

    def method_for(self, quantization: str) -> Method:
        """The method that was asked for, or the one that keeps most of a policy in a type."""
        return self.method or default_method(quantization)

    def options(self) -> dict[str, str]:
        """The options of the command line that say the same, but for the folder."""
        options = {
            "--calibration": "DATA",
            "--calibration-observations": str(self.observations),
        }
        if self.method is not None:
            options["--method"] = self.method
        if self.min_agreement is not None:
            options["--min-agreement"] = str(self.min_agreement)
        return options
