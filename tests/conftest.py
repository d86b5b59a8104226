"""Puts the tests folder on the module path, so that every test finds the shared factories (`import checkpoints`)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
