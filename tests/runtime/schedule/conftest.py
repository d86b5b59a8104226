"""Puts this folder on the module path, so that its tests find rigs.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
