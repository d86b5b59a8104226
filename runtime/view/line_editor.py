"""A line as it is being typed, from the keys of a terminal: just enough editing for one command."""

from __future__ import annotations

ESCAPE = "\x1b"
LONGEST = 500
"""Characters a line may have; more are not taken."""


class LineEditor:
    """Takes keys, gives whole lines; `text` is what has been typed of the next one."""

    def __init__(self) -> None:
        self.text = ""
        self._sequence = ""

    def feed(self, keys: str) -> list[str]:
        """The lines that these keys complete. Escape alone is the line `stop`; cursor and function keys are nothing.

        A key that sends several characters must come in one call: an Escape that ends the call stands alone.
        """
        lines = []
        for key in keys:
            if self._sequence:
                self._sequence += key
                if self._sequence in (f"{ESCAPE}[", f"{ESCAPE}O"):
                    continue
                if self._sequence[1] not in "[O":
                    lines.append("stop")  # Escape, then another key
                    self._sequence = ""
                elif "@" <= key <= "~":
                    self._sequence = ""
                    continue
                else:
                    continue
            if key == ESCAPE:
                self._sequence = ESCAPE
            elif key in "\r\n":
                lines.append(self.text)
                self.text = ""
            elif key in "\x7f\b":
                self.text = self.text[:-1]
            elif key == "\x15":  # Ctrl-U
                self.text = ""
            elif key.isprintable() and len(self.text) < LONGEST:
                self.text += key
        if self._sequence == ESCAPE:
            lines.append("stop")
        self._sequence = ""
        return lines
