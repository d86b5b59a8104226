"""JSON schemas of the topics, so that a viewer can plot their numbers and show their images by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from hyt.runtime.record.format import (
    ACTION,
    CAMERA,
    DECISION,
    EPISODE,
    LIMITER,
    LOG,
    STATE,
    THOUGHT,
    Dimension,
    Ending,
    RecordedDecision,
    RecordedLimiter,
    RecordedThought,
    Run,
)

_TIME = {
    "type": "object",
    "title": "time",
    "properties": {"sec": {"type": "integer", "minimum": 0}, "nsec": {"type": "integer", "minimum": 0}},
}
_IMAGE = {
    "timestamp": _TIME,
    "frame_id": {"type": "string"},
    "data": {"type": "string", "contentEncoding": "base64"},
    "format": {"type": "string"},
}
_LOG = {
    "timestamp": _TIME,
    "level": {"type": "integer"},
    "message": {"type": "string"},
    "name": {"type": "string"},
    "file": {"type": "string"},
    "line": {"type": "integer"},
}
_NUMBER = {"type": "number"}


def schemas(run: Run) -> dict[str, tuple[str, bytes]]:
    """Topic -> name and JSON schema of its messages, for an episode of this run."""
    chunk = {
        "decision": {"type": "integer"},
        "step_time": _NUMBER,
        "steps": {"type": "array", "items": _object(_numbers(run.action))},
    }
    state = {"decision": {"type": "integer"}, "values": _object(_numbers(run.state))}
    found = {CAMERA + name: ("foxglove.CompressedImage", _object(_IMAGE)) for name in run.cameras}
    found[STATE] = ("hyt.State", _object(state))
    found[ACTION] = ("hyt.Action", _object(chunk))
    found[DECISION] = ("hyt.Decision", _of(RecordedDecision))
    found[THOUGHT] = ("hyt.Thought", _of(RecordedThought))
    found[LIMITER] = ("hyt.Limiter", _of(RecordedLimiter))
    found[LOG] = ("foxglove.Log", _object(_LOG))
    found[EPISODE] = ("hyt.Episode", _of(Ending))
    return {topic: (name, json.dumps(schema).encode()) for topic, (name, schema) in found.items()}


def _numbers(dimensions: Sequence[Dimension]) -> dict[str, Any]:
    return {d.name: {"type": "number", "description": d.unit} for d in dimensions}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties)}


def _of(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema in the words that every viewer knows: types, properties and items, each number once."""
    schema = model.model_json_schema()
    parts = schema.get("$defs", {})

    def plain(node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in node:
            return plain(parts[node["$ref"].rpartition("/")[2]])
        if "anyOf" in node:  # something or null: a viewer wants the something
            return plain(next(one for one in node["anyOf"] if one.get("type") != "null"))
        if node["type"] == "array":
            return {"type": "array", "items": plain(node["items"])}
        if node["type"] == "object":
            return _object({name: plain(one) for name, one in node.get("properties", {}).items()})
        return {"type": node["type"]}

    return plain(schema)
