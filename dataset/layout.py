"""What a dataset holds, frame by frame: cameras and vectors, as LeRobot's feature table and as Arrow columns.

The format as a whole is described in `docs/dataset.md`; `metadata.py` reads it and `writer.py` writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

STATE = "observation.state"
ACTION = "action"
IMAGES = "observation.images."
INSTRUCTION = "instruction"
THOUGHT = "thought"
SUB_INSTRUCTION = "sub_instruction"
TEXTS = (INSTRUCTION, THOUGHT, SUB_INSTRUCTION)

COUNTERS = ("frame_index", "episode_index", "index", "task_index")
"""Integer columns of every LeRobot dataset, besides the float32 `timestamp`."""


@dataclass(frozen=True)
class CameraInfo:
    """One camera: its images are uint8 (height, width, 3), RGB."""

    name: str
    height: int
    width: int


@dataclass(frozen=True)
class VectorInfo:
    """One vector feature: a name and a unit for each dimension; a unit is empty where the dataset names none."""

    names: tuple[str, ...]
    units: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Layout:
    """What every frame of a dataset holds."""

    fps: float
    """Decisions a second."""
    cameras: tuple[CameraInfo, ...]
    state: VectorInfo
    action: VectorInfo
    robot: str = ""


@dataclass(frozen=True)
class DatasetInfo(Layout):
    """The layout of a dataset that is there, and its size."""

    episodes: int = 0
    frames: int = 0
    chunk_steps: int = 1
    """Steps of each decision's action chunk, as asked for at opening."""


def feature_table(layout: Layout) -> dict[str, dict[str, Any]]:
    """The `features` of `meta/info.json`; `units` is our addition, which LeRobot passes over."""
    table: dict[str, dict[str, Any]] = {}
    for name, vector in ((STATE, layout.state), (ACTION, layout.action)):
        table[name] = {
            "dtype": "float32",
            "shape": [len(vector)],
            "names": list(vector.names),
            "units": list(vector.units),
        }
    for camera in layout.cameras:
        table[IMAGES + camera.name] = {
            "dtype": "image",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
        }
    table |= {name: {"dtype": "string", "shape": [1], "names": None} for name in TEXTS}
    table["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    table |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in COUNTERS}
    return table


def arrow_schema(layout: Layout) -> pa.Schema:
    """The columns of a data file, with the note by which Hugging Face `datasets` knows that images are images."""
    fields: list[pa.Field] = []
    features: dict[str, Any] = {}
    for name, feature in feature_table(layout).items():
        kind, length = feature["dtype"], feature["shape"][0]
        if kind == "image":
            fields.append(pa.field(name, pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
            features[name] = {"_type": "Image"}
        elif length == 1:  # LeRobot keeps vectors of one dimension as plain values
            fields.append(pa.field(name, pa.type_for_alias(kind)))
            features[name] = {"dtype": kind, "_type": "Value"}
        else:
            fields.append(pa.field(name, pa.list_(pa.float32(), length)))
            features[name] = {"feature": {"dtype": kind, "_type": "Value"}, "length": length, "_type": "Sequence"}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
