"""The family paligemma2: both naming schemes, and every way in which config, contract and weights may disagree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import AWKWARD, DEFAULT, Shape, contract_data, legacy_name, write_checkpoint
from safetensors.torch import load_file, save_file
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import Model, load_model

Tensors = dict[str, torch.Tensor]


def load(path: Path) -> Model:
    with Checkpoint(path) as checkpoint:
        return load_model(checkpoint)


def change_weights(path: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(str(path / "model.safetensors"))
    change(tensors)
    save_file(tensors, str(path / "model.safetensors"))


def change_config(path: Path, part: str, **values: Any) -> None:
    config = json.loads((path / "config.json").read_text())
    (config[part] if part else config).update(values)
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("shape", [DEFAULT, AWKWARD])
def test_both_naming_schemes_place_every_tensor_alike(tmp_path: Path, shape: Shape) -> None:
    legacy = load(write_checkpoint(tmp_path / "legacy", shape, names="legacy").path)
    current = load(write_checkpoint(tmp_path / "current", shape, names="current").path)
    assert [(p.name, p.shape) for p in legacy.language] == [(p.name, p.shape) for p in current.language]
    assert [(p.name, p.shape) for p in legacy.vision] == [(p.name, p.shape) for p in current.vision]
    assert legacy.language[0].source == "language_model.model.embed_tokens.weight"
    assert current.language[0].source == "model.language_model.embed_tokens.weight"


def test_every_tensor_of_the_reference_is_placed_once(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", names="current")
    model = load(checkpoint.path)
    placed = [plan.source for plan in (*model.language, *model.vision)]
    assert sorted(placed) == sorted(name for name, _ in checkpoint.model.named_parameters())


def test_shapes_are_those_of_the_config(tmp_path: Path) -> None:
    shapes = load(write_checkpoint(tmp_path / "c", AWKWARD).path).shapes
    assert (shapes.text.hidden_size, shapes.text.heads, shapes.text.kv_heads, shapes.text.head_dim) == (52, 6, 2, 20)
    assert shapes.text.attention_scale == pytest.approx(20**-0.5)
    assert (shapes.vision.tokens, shapes.vision.projection_dim) == (25, 52)


def test_a_missing_tensor_is_named(checkpoint_copy: Path) -> None:
    name = "language_model.model.layers.1.mlp.up_proj.weight"
    change_weights(checkpoint_copy, lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.up_proj\.weight.*1 tensor missing"):
        load(checkpoint_copy)


def test_an_unknown_tensor_is_named(checkpoint_copy: Path) -> None:
    change_weights(checkpoint_copy, lambda tensors: tensors.update({"lora.a": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"'lora\.a'"):
        load(checkpoint_copy)


def test_a_misshapen_tensor_is_named_with_both_shapes(checkpoint_copy: Path) -> None:
    name = "language_model.model.layers.0.self_attn.k_proj.weight"
    change_weights(checkpoint_copy, lambda tensors: tensors.update({name: torch.zeros(64, 64)}))
    with pytest.raises(CheckpointError, match=r"k_proj.*expected shape \[32, 64\].*received \[64, 64\]"):
        load(checkpoint_copy)


def test_a_tensor_under_both_names_is_refused(checkpoint_copy: Path) -> None:
    def copy_norm(tensors: Tensors) -> None:
        tensors["model.language_model.norm.weight"] = tensors["language_model.model.norm.weight"].clone()

    change_weights(checkpoint_copy, copy_norm)
    with pytest.raises(CheckpointError, match="once"):
        load(checkpoint_copy)


def test_a_saved_head_is_read_when_it_is_the_embedding_and_refused_when_not(checkpoint_copy: Path) -> None:
    def add_head(tensors: Tensors) -> None:
        tensors["lm_head.weight"] = tensors["language_model.model.embed_tokens.weight"].clone()

    change_weights(checkpoint_copy, add_head)
    load(checkpoint_copy)
    change_weights(checkpoint_copy, lambda tensors: tensors["lm_head.weight"][-1].add_(1))
    with pytest.raises(CheckpointError, match=r"tied"):
        load(checkpoint_copy)


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("", {"model_type": "pi0"}, "field model_type.*'pi0'"),
        ("text_config", {"model_type": "gemma3"}, "paligemma with a gemma2 text model"),
        ("text_config", {"hidden_activation": "gelu"}, "hidden_activation"),
        ("text_config", {"final_logit_softcapping": None}, "final_logit_softcapping"),
        ("text_config", {"attention_bias": True}, "attention_bias"),
        ("text_config", {"rope_scaling": {"factor": 2}}, "rope_scaling"),
        ("text_config", {"layer_types": ["full_attention"] * 3}, "layer_types"),
        ("text_config", {"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ("text_config", {"num_hidden_layers": 4}, r"layers\.3"),
        ("text_config", {"num_key_value_heads": 2}, "num_key_value_heads"),
        ("text_config", {"head_dim": 16}, "q_proj.*expected shape"),
        ("text_config", {"vocab_size": 999}, "embed_tokens"),
        ("text_config", {"hidden_size": "64.5"}, "hidden_size"),
        ("text_config", {"sliding_window": 8}, "sliding_window.*at least the 5"),
        ("vision_config", {"patch_size": 6}, "patches"),
        ("vision_config", {"image_size": 56}, "position_embedding"),
        ("vision_config", {"num_attention_heads": 3}, "heads"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_field(
    checkpoint_copy: Path, part: str, values: dict[str, Any], message: str
) -> None:
    values = {"layer_types": None, **values} if part == "text_config" else values
    change_config(checkpoint_copy, part, **values)
    with pytest.raises(CheckpointError, match=message):
        load(checkpoint_copy)


def test_cameras_with_two_normalisations_are_refused(checkpoint_copy: Path) -> None:
    data = contract_data(Shape(cameras=2))
    data["cameras"][1]["mean"] = [0.4, 0.4, 0.4]
    (checkpoint_copy / "hyt.json").write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="same mean and std"):
        load(checkpoint_copy)


def test_a_scale_that_stock_llama_cpp_would_not_use_is_noted(tmp_path: Path) -> None:
    (note,) = load(write_checkpoint(tmp_path / "c", Shape(attention_scalar=48.0)).path).notes
    assert "stock llama.cpp" in note


def test_the_published_3b_layout_is_placed_without_reading_a_weight(checkpoint_copy: Path) -> None:
    """Names and shapes by transformers, bf16, in a sparse file; the config leaves out what the published one does."""
    config = {
        "model_type": "paligemma",
        "image_token_index": 257152,
        "hidden_size": 2304,
        "projection_dim": 2304,
        "text_config": {
            "model_type": "gemma2",
            "vocab_size": 257216,
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "query_pre_attn_scalar": 256,
            "sliding_window": 4096,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "hidden_activation": "gelu_pytorch_tanh",
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "patch_size": 14,
            "vision_use_head": False,
        },
    }
    with torch.device("meta"):
        reference = PaliGemmaForConditionalGeneration(PaliGemmaConfig(**json.loads(json.dumps(config))))
    header, position = {}, 0
    for name, value in reference.named_parameters():
        end = position + 2 * value.numel()
        header[legacy_name(name)] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    with (checkpoint_copy / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + position)
    (checkpoint_copy / "config.json").write_text(json.dumps(config))

    model = load(checkpoint_copy)
    assert len(model.language) + len(model.vision) == len(header)
    assert (model.shapes.text.head_dim, model.shapes.text.attention_scale) == (256, 1 / 16)
    assert (model.shapes.text.context_length, model.shapes.vision.tokens) == (8192, 256)
