"""The robots of the serial robot's tests are those of the doctor's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "serial_robot"))
