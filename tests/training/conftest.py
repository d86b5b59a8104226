"""Puts this folder on the module path, so that its tests can share `training_data`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
