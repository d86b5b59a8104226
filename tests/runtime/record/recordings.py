"""Recordings of a fake robot driven by a real policy, and copies of them with something changed.

record(bundle, folder, modality, decisions=200)    # folder / "episode-0001.mcap"
rewrite(path, {"/camera/camera0": change})         # each message of a topic through change(decision, message)
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fakes import FakeRobot
from mcap.reader import make_reader
from mcap.writer import Writer
from PIL import Image

import hyt
from hyt.runtime.listener import Listener
from hyt.runtime.loop import Modality, run_episode
from hyt.runtime.policy import Policy
from hyt.runtime.record.facts import Facts
from hyt.runtime.record.recorder import Recorder

Change = Callable[[int, dict[str, Any]], dict[str, Any]]


def facts(policy: Policy, **options: Any) -> Facts:
    """Of a policy, with versions and machine that need no looking up."""
    return Facts(policy, options=options, versions={"hyt": "0.1.0"}, machine={"processor": "a processor"})


def record(bundle: Path, folder: Path, modality: Modality, decisions: int = 200, *more: Listener) -> Path:
    """Drive the fake robot for so many decisions and record it."""
    threshold = 0.5 if modality == "gate" else None
    with hyt.load(bundle, threads=1) as policy, Recorder(folder, facts(policy, gate_threshold=threshold)) as recorder:
        recorder.attend("fake", modality)
        run_episode(
            policy,
            FakeRobot(decisions),
            instruction="open the drawer",
            modality=modality,
            seed=7,
            max_decisions=decisions,
            sub_instruction=lambda _: "MOVE left",
            gate_threshold=threshold,
            listeners=[*more, recorder],
        )
    return folder / "episode-0001.mcap"


def rewrite(path: Path, changes: Mapping[str, Change], to: Path | None = None) -> Path:
    """Write a recording again with the mcap package, each message of the topics through its change."""
    with path.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary is not None
        metadata = list(reader.iter_metadata())
        messages = list(reader.iter_messages(log_time_order=False))
    target = to or path
    with target.open("wb") as out:
        writer = Writer(out)
        writer.start()
        for entry in metadata:
            writer.add_metadata(entry.name, entry.metadata)
        schemas = {id: writer.register_schema(s.name, s.encoding, s.data) for id, s in summary.schemas.items()}
        channels = {
            id: writer.register_channel(c.topic, c.message_encoding, schemas[c.schema_id])
            for id, c in summary.channels.items()
        }
        counted: dict[str, int] = {}
        for _, channel, message in messages:
            counted[channel.topic] = number = counted.get(channel.topic, 0) + 1
            data = message.data
            if channel.topic in changes:
                data = json.dumps(changes[channel.topic](number, json.loads(data))).encode()
            writer.add_message(channels[channel.id], message.log_time, data, message.publish_time, message.sequence)
        writer.finish()
    return target


def with_pixel(decision: int, row: int, column: int) -> Change:
    """Changes one pixel of the image of one decision, by one."""
    from hyt.runtime.png import encode_png

    def change(number: int, message: dict[str, Any]) -> dict[str, Any]:
        if number == decision:
            with Image.open(io.BytesIO(base64.b64decode(message["data"]))) as picture:
                image = np.array(picture)
            image[row, column, 1] ^= 1
            message["data"] = base64.b64encode(encode_png(image)).decode()
        return message

    return change
