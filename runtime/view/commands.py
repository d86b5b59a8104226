"""What a line that a user typed says to a run."""

from __future__ import annotations

from hyt.errors import HytError
from hyt.runtime.controls import Controls

HELP = "a text to follow it, back, think, stop"
"""The words, for a line of help."""


def obey(line: str, controls: Controls) -> str:
    """Do what the line says; returns what became of it, in one line.

    `stop`, whatever follows it, stops; `back` and `think` are themselves; `follow TEXT` and any other TEXT are to be
    followed.
    """
    word, _, rest = line.strip().partition(" ")
    try:
        if word.lower().rstrip("!.,") == "stop":  # `stop now`, `STOP!`: never a text to follow
            controls.stop()
            return "stopped"
        if not word or (word in ("help", "?") and not rest):
            return HELP
        if word == "back" and not rest:
            controls.back()
            return "back to the instruction"
        if word == "think" and not rest:
            controls.think()
            return "asked for a thought"
        text = rest if word == "follow" else line
        controls.follow(text)
        return f"follows {text.strip()!r}"
    except HytError as problem:
        return str(problem)
