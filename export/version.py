"""Name and version of the tool, for a bundle's provenance."""

from __future__ import annotations

from importlib.metadata import version

TOOL = "hyt-export"


def tool_version() -> str:
    """Version of the installed package."""
    return version("hyt")
