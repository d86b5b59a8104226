"""The devices that tests compute on: the CPU as any other device, and those that HYT_TEST_DEVICES names.

`make vulkan-check` names vulkan there; without the variable no test of another device is collected.
"""

from __future__ import annotations

import os

NAMED = [name for name in os.environ.get("HYT_TEST_DEVICES", "").split(",") if name]
SETTINGS: dict[str, dict[str, object]] = {
    "the CPU as another device": {"foreign": True},
    **{name: {"device": name} for name in NAMED},
}
"""What a _core.Session is given for each."""
