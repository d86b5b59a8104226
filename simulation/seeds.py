"""Which random seeds are for what; fixed before any policy was trained, so that no result is tuned on its own test.

A seed decides the pose of the object in an episode. The ranges never meet.
"""

from __future__ import annotations

COLLECT = range(100_000)
"""Training episodes draw their seeds from here."""

VALIDATION = range(900_000, 900_020)
"""Choices made while developing (recipe, quantisation, limits) are made on these."""

HELD_OUT = range(1_000_000, 1_000_100)
"""Reported success rates come from these; `make evaluate` uses the first 50 of each task."""

DEMONSTRATION = range(2_000_000, 2_000_100)
"""`make run` shows these; no policy was trained or chosen on them either."""
