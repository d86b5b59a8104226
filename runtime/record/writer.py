"""The file of one episode while it is written: its name says so, and changes when it is whole."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from hyt.errors import OutputExistsError, RecordingError
from hyt.runtime.record.container import Output, open_writer
from hyt.runtime.record.format import RUN, SUFFIX, UNFINISHED, Run
from hyt.runtime.record.messages import Message
from hyt.runtime.record.schemas import schemas


class EpisodeFile:
    """Writes `folder/episode-NNNN.unfinished.mcap`; `finish` gives it the name without `unfinished`.

    Raises OSError where the system refuses to write; what has been written until then stays and can be read.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        stem = f"episode-{run.episode:04d}"
        self._path, self._final = folder / f"{stem}{UNFINISHED}", folder / f"{stem}{SUFFIX}"
        self._output = Output(self._path)
        try:
            self._writer = open_writer(self._output)
            self._writer.start(profile="", library=f"hyt {run.versions.get('hyt', '')}".strip())
            fields = run.model_dump(mode="json")
            self._writer.add_metadata(RUN, {name: json.dumps(value) for name, value in fields.items()})
            self._channels: dict[str, int] = {}
            for topic, (name, schema) in schemas(run).items():
                id = self._writer.register_schema(name, "jsonschema", schema)
                self._channels[topic] = self._writer.register_channel(topic, "json", id)
        except BaseException:
            self._output.close()
            raise
        self._sequence = 0

    @property
    def path(self) -> Path:
        """Where it is now."""
        return self._path

    def write(self, message: Message) -> None:
        """Add a message; it is in the file when its chunk is full."""
        topic, time, data = message
        self._writer.add_message(self._channels[topic], time, data, time, self._sequence)
        self._sequence += 1

    def finish(self) -> None:
        """Write index and end, wait for the disk, and take the final name."""
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._output.sync()
        self._output.close()
        os.replace(self._path, self._final)
        self._path = self._final

    def abandon(self) -> None:
        """Close it as it is, after an error."""
        with suppress(OSError):  # the error that is being reported came first
            self._output.close()


def check_folder(folder: Path) -> None:
    """Make the folder; raises OutputExistsError where episodes lie already, RecordingError where none may be."""
    try:
        folder.mkdir(exist_ok=True)
        there = sorted(folder.glob(f"*{SUFFIX}"))
        writable = os.access(folder, os.W_OK)
    except OSError as problem:
        raise RecordingError(f"recording {folder}", expected="a folder", received=problem.strerror or "") from None
    if there:
        raise OutputExistsError(
            f"recording {folder}", expected="a folder without recordings", received=there[0].name, remedy="name another"
        )
    if not writable:
        raise RecordingError(f"recording {folder}", expected="a folder one may write to", received="none")
