"""Writes the folder `onnx/` of a bundle: vision, embed, decoder, output, and the one file of weights they share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hyt.errors import InputError
from hyt.export.onnx.decoder import add_decoder, add_embed, add_output
from hyt.export.onnx.fused import Fused
from hyt.export.onnx.gguf_tensors import GgufTensors
from hyt.export.onnx.graph import Graph
from hyt.export.onnx.layers import Layers
from hyt.export.onnx.plain import Plain
from hyt.export.onnx.vision import add_vision
from hyt.export.onnx.weight_file import WeightFile
from hyt.runtime.contract import Contract
from hyt.runtime.manifest import (
    LANGUAGE_NAME,
    ONNX_NAMES,
    ONNX_WEIGHTS,
    VISION_NAME,
    Activations,
    OnnxGraphs,
    Shapes,
    answer_positions,
)

_HEAD_WIDTHS = 8
_LAYERS: dict[str, type[Layers]] = {"fused": Fused, "qdq": Plain}


def write_onnx(
    directory: Path,
    shapes: Shapes,
    contract: Contract,
    image_tokens: dict[str, int],
    variant: str,
    activations: Activations = "int8",
) -> tuple[OnnxGraphs, list[str]]:
    """Write the graphs of the bundle in `directory`, whose GGUF files are there; what the manifest says of them, notes.

    Tensors are copied some rows at a time; memory holds the scales of one of them, and of `qdq` one 4 bit matrix, which
    is turned over.
    """
    kind = _LAYERS[variant]
    if variant == "fused" and shapes.text.head_dim % _HEAD_WIDTHS:
        raise InputError(
            "ONNX variant 'fused'",
            expected=f"heads whose width is a multiple of {_HEAD_WIDTHS}, as GroupQueryAttention wants",
            received=str(shapes.text.head_dim),
            remedy="export with --onnx-variant qdq",
        )
    cells = answer_positions(contract, image_tokens)
    continuous = contract.action.kind == "continuous"
    (directory / ONNX_WEIGHTS).parent.mkdir()
    language, vision = (GgufTensors(directory / name) for name in (LANGUAGE_NAME, VISION_NAME))
    with WeightFile(directory / ONNX_WEIGHTS) as weights:

        def layers(part: str, tensors: GgufTensors) -> Layers:
            return kind(Graph(part), tensors, weights, activations)

        graphs = {
            "vision": layers("vision", vision),
            "embed": layers("embed", language),
            "decoder": layers("decoder", language),
            "output": layers("output", language),
        }
        add_vision(graphs["vision"], shapes.vision, contract.image_count)
        add_embed(graphs["embed"], shapes.text)
        full = continuous or shapes.text.prefix_attention == "bidirectional"
        add_decoder(graphs["decoder"], shapes.text, cells, contract.action.token_ids, full)
        add_output(graphs["output"], shapes.text)
        for part, built in graphs.items():
            built.graph.save(directory / ONNX_NAMES[part])
    state = {f"past.{i}.{part}": f"present.{i}.{part}" for i in range(shapes.text.layers) for part in ("key", "value")}
    rounded = Counter(tensors.rounded(name) for tensors in (language, vision) for name in tensors)
    notes = [f"onnx: {count} tensors are rounded from {change}" for change, count in sorted(rounded.items()) if change]
    graphs_told = OnnxGraphs(variant=variant, state=state, cells=cells, in_place=kind.in_place, activations=activations)
    return graphs_told, notes
