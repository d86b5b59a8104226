"""Sleeping until a moment, more exactly than the system's timer does."""

from __future__ import annotations

import time

SPIN = 0.0002
"""Seconds before the moment from which on the thread looks at the clock in place of sleeping."""


def sleep_until(moment: float) -> None:
    """Return at `moment`, a `time.monotonic()` in seconds; at once where it has passed."""
    left = moment - time.monotonic()
    if left > SPIN:
        time.sleep(left - SPIN)
    while time.monotonic() < moment:
        pass
