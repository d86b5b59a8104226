"""Which random seeds are for what; fixed before any policy was trained, so that no result is tuned on its own test.

A seed decides the pose of the object in an episode. The ranges never meet.
"""

from __future__ import annotations

COLLECT = range(10_000)
"""Demonstrations of the experts draw their seeds from here."""

CORRECT = range(10_000, 100_000)
"""Episodes in which a policy acts and the expert corrects it draw theirs from here."""

VALIDATION = range(900_000, 900_020)
"""Choices made while developing (recipe, quantisation, limits) are made on these."""

HELD_OUT = range(1_000_000, 1_000_100)
"""Reported success rates come from these, 100 for each task."""

PAIRED = range(1_100_000, 1_100_167)
"""INT4 is compared with float32 on these: 167 for each of six tasks, 1002 pairs of episodes."""

STUDY = range(1_200_000, 1_200_100)
"""The study of plain VLA, ECoT and HyT is evaluated on these."""

DEMONSTRATION = range(2_000_000, 2_000_100)
"""`make run` shows these; no policy was trained or chosen on them either."""
