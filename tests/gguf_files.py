"""Writes the two GGUF files of a checkpoint without a bundle around them, for tests of the files themselves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hyt.export.checkpoint import Checkpoint
from hyt.export.families import Model, load_model
from hyt.export.gguf_metadata import add_language_keys, add_vision_keys
from hyt.export.gguf_writer import write_gguf
from hyt.export.quantization import Request, choose_types


def write_gguf_files(checkpoint_path: Path, directory: Path, quantization: str = "f32", threads: int = 1) -> Model:
    """Write language.gguf and vision.gguf into `directory`."""
    with Checkpoint(checkpoint_path) as checkpoint:
        model = load_model(checkpoint)
        shapes = model.shapes
        for file, architecture, keys, plans in (
            ("language.gguf", shapes.text.architecture, partial(add_language_keys, text=shapes.text), model.language),
            ("vision.gguf", "clip", partial(add_vision_keys, vision=shapes.vision), model.vision),
        ):
            write_gguf(
                directory / file,
                architecture,
                partial(keys, name="tiny", request=quantization),
                checkpoint,
                plans,
                choose_types(plans, Request(quantization)),
                threads,
                lambda name, size: None,
            )
    return model
