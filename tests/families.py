"""Random tiny checkpoints of every family, in their true layout, each with an independent reference.

case = write_llava(tmp_path / "c", vision="clip", text="llama")
case.logits(images, layout, tokens)       # transformers' encoder and decoder, composed by hand
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import torch
import transformers
from checkpoints import Shape, contract_data, legacy_name, make_tokenizer
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

Images = Sequence[NDArray[np.uint8]]
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Nothing divides by 32; grouped queries; two cameras.
SMALL = replace(checkpoints.AWKWARD, layers=2, vision_layers=3, heads=4, kv_heads=2, head_dim=16, hidden=64)
# Blocks of INT4 divide all rows, once the 60 of the image encoder's feed-forward layers are widened to 64.
EVEN = replace(SMALL, intermediate=96, vision_hidden=64, vision_heads=4, vision_intermediate=60)


@dataclass
class Case:
    """A checkpoint on disk, and what its image encoder and its decoder say in transformers.

    encode: images -> (tokens of all, width), as the decoder's embeddings; language: a causal language model
    """

    path: Path
    encode: Callable[[Images], torch.Tensor]
    language: Any
    bidirectional: bool = False
    parameters: dict[str, torch.Tensor] = field(default_factory=dict)  # by their names in the checkpoint; not copies

    def logits(self, images: Images, layout: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float32]:
        """float32 (len(tokens), vocabulary): teacher-forced logits at each of `tokens` behind the prefix."""
        with torch.no_grad():
            per_image = self.encode(images).split([len(self.encode([image])) for image in images])
            embed = self.language.get_input_embeddings()
            parts = [per_image[-1 - i] if i < 0 else embed(torch.tensor([int(i)])) for i in layout]
            prefix = torch.cat(parts)
            whole = torch.cat([prefix, embed(torch.tensor(list(tokens)))])
            count = len(prefix)
            visible = torch.ones(len(whole), len(whole)).tril().bool()
            if self.bidirectional:
                visible[:count, :count] = True
            mask = torch.zeros(visible.shape).masked_fill(~visible, float("-inf"))[None, None]
            out = self.language(inputs_embeds=whole[None], attention_mask=mask).logits[0, count:]
            return out.float().numpy()

    def text_logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """float32 (len(ids), vocabulary) of a text under the usual causal mask."""
        with torch.no_grad():
            return self.language(torch.tensor([list(ids)])).logits[0].float().numpy()


def write_paligemma(path: Path, shape: Shape = SMALL, seed: int = 0) -> Case:
    """PaliGemma 1: SigLIP, linear projector, Gemma."""
    text = {"model_type": "gemma", "head_dim": shape.head_dim, **_text_sizes(shape)}
    config = transformers.PaliGemmaConfig(
        text_config=text, vision_config=_siglip(shape), image_token_index=checkpoints.IMAGE,
        projection_dim=shape.hidden, hidden_size=shape.hidden,
    )  # fmt: skip
    model = transformers.PaliGemmaForConditionalGeneration(config)
    randomise(model, seed)
    language = _language(transformers.GemmaForCausalLM, model)
    _save_hybrid(path, model, shape, (0.5,) * 3, (0.5,) * 3)

    def encode(images: Images) -> torch.Tensor:
        # Already divided by the root of the width, which the decoder multiplies all embeddings by.
        return model.model.get_image_features(_pixels(images, (0.5,) * 3, (0.5,) * 3)).flatten(0, 1)

    return Case(path, encode, language, bidirectional=True, parameters=_saved(model))


def write_paligemma2(path: Path, shape: Shape = checkpoints.AWKWARD, seed: int = 0) -> Case:
    """PaliGemma 2: SigLIP, linear projector, Gemma 2; that of `checkpoints`."""
    model = checkpoints.write_checkpoint(path, shape, seed=seed).model

    def encode(images: Images) -> torch.Tensor:
        return model.model.get_image_features(_pixels(images, (0.5,) * 3, (0.5,) * 3)).flatten(0, 1)

    language = _language(transformers.Gemma2ForCausalLM, model)
    return Case(path, encode, language, bidirectional=True, parameters=_saved(model))


def write_llava(
    path: Path,
    vision: str,
    text: str,
    shape: Shape = SMALL,
    seed: int = 0,
    layer: int = -2,
    dtype: str = "float32",
    scaling: dict[str, Any] | None = None,
) -> Case:
    """LLaVA: `vision` clip or siglip, `text` llama, qwen2 or qwen3; scaling: of positions, as config.json has it."""
    sizes = {
        "model_type": text,
        "head_dim": shape.head_dim,
        **_text_sizes(shape),
        "tie_word_embeddings": text != "llama",
        "rope_scaling": scaling,
    }
    encoder = _siglip(shape)
    if vision == "clip":
        encoder |= {"model_type": "clip_vision_model", "hidden_act": "quick_gelu"}
        encoder.pop("vision_use_head")
    config = transformers.LlavaConfig(
        text_config=sizes, vision_config=encoder, image_token_index=checkpoints.IMAGE, vision_feature_layer=layer,
        vision_feature_select_strategy="default" if vision == "clip" else "full",
        tie_word_embeddings=sizes["tie_word_embeddings"],
    )  # fmt: skip
    model = transformers.LlavaForConditionalGeneration(config)
    randomise(model, seed)
    _round(model, dtype)
    kinds = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}
    language = _language(getattr(transformers, f"{kinds[text]}ForCausalLM"), model)
    mean, std = (CLIP_MEAN, CLIP_STD) if vision == "clip" else ((0.5,) * 3, (0.5,) * 3)
    _save_hybrid(path, model, shape, mean, std, dtype)

    def encode(images: Images) -> torch.Tensor:
        features = model.model.get_image_features(
            _pixels(images, mean, std),
            vision_feature_layer=layer,
            vision_feature_select_strategy=config.vision_feature_select_strategy,
        )
        return torch.cat(list(features))

    return Case(path, encode, language, parameters=_saved(model))


def randomise(model: nn.Module, seed: int) -> None:
    """Weights with which logits spread, and every norm, bias, position and scale matters; in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, value in module.named_parameters(recurse=False):
                noise = torch.randn(value.shape, generator=generator)
                norm = "Norm" in type(module).__name__
                if value.ndim == 1 and norm and name == "weight":
                    value.copy_(0.2 * noise + (0.0 if isinstance(module, GemmaRMSNorm) else 1.0))
                elif value.ndim == 1:
                    value.copy_(0.3 * noise + (0.6 if "lambda" in name else 0.0))
                elif isinstance(module, nn.Embedding):
                    value.copy_(noise * (0.3 if value.shape[0] < 60 else 1.6 * value.shape[1] ** -0.5))
                elif isinstance(module, nn.Linear | nn.Conv2d):
                    value.copy_(noise * 1.2 * value[0].numel() ** -0.5)
                else:
                    value.copy_(0.3 * noise)
    model.eval()


def normalised(images: Images, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """float32 (images, 3, height, width), each channel normalised."""
    return _pixels(images, mean, std)


def _pixels(images: Images, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (stacked - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def _text_sizes(shape: Shape) -> dict[str, Any]:
    return {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.context,
    }


def _siglip(shape: Shape) -> dict[str, Any]:
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": shape.vision_hidden,
        "intermediate_size": shape.vision_intermediate,
        "num_hidden_layers": shape.vision_layers,
        "num_attention_heads": shape.vision_heads,
        "image_size": shape.image_size,
        "patch_size": shape.patch_size,
        "vision_use_head": False,
        "projection_dim": shape.hidden,
    }


def _language(kind: Any, model: Any) -> Any:
    """The decoder of an image-and-text model as a causal language model of its own."""
    config = model.config.text_config
    language = kind(config)
    language.set_attn_implementation("eager")
    language.model, language.lm_head = model.model.language_model, model.lm_head
    language.set_attn_implementation("eager")
    return language.eval()


def _round(model: nn.Module, dtype: str) -> None:
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.to(getattr(torch, dtype)))


def _saved(model: Any) -> dict[str, torch.Tensor]:
    """The model's own tensors by the names that transformers saves them under."""
    state = {legacy_name(name): value for name, value in model.state_dict().items()}
    state = {("language_model.lm_head.weight" if name == "lm_head.weight" else name): v for name, v in state.items()}
    if model.config.text_config.tie_word_embeddings:
        state.pop("language_model.lm_head.weight")
    return {name: value for name, value in state.items() if not name.endswith("position_ids")}


def _save_hybrid(
    path: Path, model: Any, shape: Shape, mean: Sequence[float], std: Sequence[float], dtype: str = "float32"
) -> None:
    """As transformers saves it, with a hyt.json and a tokenizer of `checkpoints`."""
    path.mkdir(parents=True)
    state = {name: value.detach().to(getattr(torch, dtype)).clone() for name, value in _saved(model).items()}
    save_file(state, str(path / "model.safetensors"), metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(model.config.to_dict()))
    make_tokenizer(shape).save(str(path / "tokenizer.json"))
    contract = contract_data(shape)
    for camera in contract["cameras"]:
        camera.update(mean=mean, std=std)
    (path / "hyt.json").write_text(json.dumps(contract))
