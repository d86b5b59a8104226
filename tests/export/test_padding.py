"""Feed-forward layers of a vision tower widened with zeros: the same numbers, and rows that blocks divide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from checkpoints import AWKWARD, write_checkpoint
from families import write_paligemma
from family_parity import core_logits, random_images
from prismatic import write_openvla

from hyt.export.checkpoint import Checkpoint
from hyt.export.exporter import export_bundle
from hyt.export.families import load_model
from hyt.export.padding import pad_feed_forward, padded_width
from hyt.export.report import Report
from hyt.export.statement import Statement
from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.cli.inspect import sections

WIDTH, WIDER = 300, 320  # as 4304 and 4320: no multiple of 32, and the next one
SHAPE = replace(AWKWARD, vision_intermediate=WIDTH)
# Zeros change nothing but the order of float32 sums, as a share of the largest logit.
ROUNDING = 3e-6
WRITERS: dict[str, Callable[[Path], object]] = {
    "siglip": lambda path: write_checkpoint(path, SHAPE),
    "dinov2 and siglip": write_openvla,
}


def export(checkpoint: Path, bundle: Path, quantization: str) -> Report:
    statement = Statement(step_time=0.2, units=("m", "rad"))
    if (checkpoint / "hyt.json").exists():
        statement = Statement()
    return export_bundle(checkpoint, bundle, quantization=quantization, statement=statement, threads=1)


def logits(bundle: Bundle) -> np.ndarray:
    images = list(random_images(bundle, 3).values())
    layout = np.array([*range(-1, -1 - len(images), -1), 2, 11, 12, 13, 4], np.int32)
    return core_logits(bundle, images, layout, [6, 40, 41, 42])


def stored(bundle: Bundle) -> dict[str, gguf.ReaderTensor]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(bundle.vision).tensors}


@pytest.mark.parametrize(
    ("width", "block", "expected"),
    [(4304, 32, 4320), (4304, 256, 4352), (4320, 32, 4320), (4096, 256, 4096), (4304, 1, 4304), (300, 256, 320),
     (70, 32, 70), (70, 256, 70), (1000, 256, 1024), (2, 32, 2)],
)  # fmt: skip
def test_a_layer_grows_to_the_next_multiple_where_that_is_an_eighth_at_most(
    width: int, block: int, expected: int
) -> None:
    assert padded_width(width, block) == expected


@pytest.mark.parametrize("name", WRITERS)
def test_float32_says_the_same_with_and_without_the_zeros(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[name](tmp_path / "c")
    export(tmp_path / "c", tmp_path / "narrow.hyt", "f32")
    monkeypatch.setattr("hyt.export.exporter.block_size", lambda type: 32)
    export(tmp_path / "c", tmp_path / "wide.hyt", "f32")
    narrow, wide = open_bundle(tmp_path / "narrow.hyt"), open_bundle(tmp_path / "wide.hyt")
    widths = [[t.intermediate_size for t in bundle.manifest.shapes.vision.towers] for bundle in (narrow, wide)]
    assert widths == ([[WIDTH], [WIDER]] if name == "siglip" else [[96, 150], [96, 160]])
    expected = logits(narrow)
    np.testing.assert_allclose(logits(wide), expected, rtol=0, atol=ROUNDING * np.abs(expected).max())


@pytest.mark.parametrize("quantization", ["q4_0", "q8_0", "q4_k"])
def test_quantised_rows_hold_the_weights_and_zeros_and_no_tensor_falls_back_to_float32(
    tmp_path: Path, quantization: str
) -> None:
    write_checkpoint(tmp_path / "c", SHAPE)
    export(tmp_path / "c", tmp_path / "f32.hyt", "f32")
    export(tmp_path / "c", tmp_path / "x.hyt", quantization)
    exact, tensors = stored(open_bundle(tmp_path / "f32.hyt")), stored(open_bundle(tmp_path / "x.hyt"))
    down = tensors["v.blk.0.ffn_down.weight"]
    assert down.shape.tolist() == [WIDER, 36]
    assert down.tensor_type.name == {"q8_0": "Q8_0"}.get(quantization, "Q4_0")
    weights = gguf.quants.dequantize(down.data, down.tensor_type)
    assert (weights[:, WIDTH:] == 0).all()
    original = exact["v.blk.0.ffn_down.weight"].data
    np.testing.assert_allclose(weights[:, :WIDTH], original, atol=np.abs(original).max() / 7)
    up, bias = tensors["v.blk.0.ffn_up.weight"], tensors["v.blk.0.ffn_up.bias"]
    assert (up.data[WIDTH:] == 0).all()
    np.testing.assert_array_equal(up.data[:WIDTH], exact["v.blk.0.ffn_up.weight"].data)
    np.testing.assert_array_equal(bias.data, [*exact["v.blk.0.ffn_up.bias"].data, *[0] * (WIDER - WIDTH)])


def test_the_report_and_inspect_say_what_was_padded_and_what_fell_back(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", SHAPE)
    report = export(tmp_path / "c", tmp_path / "x.hyt", "q4_0")
    (padding,) = report.data()["padded"]
    assert padding["tensors"] == tuple(f"v.blk.{i}.ffn_down.weight" for i in range(3))
    assert (padding["columns"], padding["padded"]) == (WIDTH, WIDER)
    shown = dict(sections(open_bundle(tmp_path / "x.hyt")))["model"]
    assert ("padded", "3 x rows of 300 padded with zeros to 320: " + ", ".join(padding["tensors"])) in shown
    fallbacks = [value for name, value in shown if name == "fallback"]
    assert any("f32 in place of q4_0, rows of 36 do not divide by 32" in line for line in fallbacks)


def test_what_divides_and_what_is_not_quantised_stays_as_it_is(tmp_path: Path) -> None:
    write_paligemma(tmp_path / "c")
    with Checkpoint(tmp_path / "c") as checkpoint:
        model = load_model(checkpoint)
    assert pad_feed_forward(model, 1) == (model, ())
    width = model.shapes.vision.intermediate_size
    assert padded_width(width, 32) == width
    assert pad_feed_forward(model, 32) == (model, ())
