"""Puts this folder on the module path, so that its tests can share `datasets_of_others` and `small_episodes`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
