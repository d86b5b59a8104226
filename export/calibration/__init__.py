"""What a policy is shown so that its quantisation can be chosen and judged."""

from hyt.export.calibration.request import CalibrationRequest
from hyt.export.calibration.samples import Calibration, Sample, read_calibration

__all__ = ["Calibration", "CalibrationRequest", "Sample", "read_calibration"]
