"""The ports of the firmware that run here: the host program, and an emulated microcontroller."""

from __future__ import annotations

import pytest

both = pytest.mark.parametrize("start", ["host", "qemu"], indirect=True)
"""Runs a test that uses conftest's `start` once on each; without it `start` is the host program."""
