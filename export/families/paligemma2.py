"""PaliGemma 2: SigLIP, one linear projector and Gemma 2, as transformers' PaliGemmaForConditionalGeneration saves it.

Both naming schemes are read: `model.language_model.layers...` and the older `language_model.model.layers...`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import Model, Role, TensorPlan, check_tensors
from hyt.runtime.contract import first_problem
from hyt.runtime.manifest import Count, Positive, Shapes, TextShapes, VisionShapes, answer_positions

Layers = Annotated[int, Field(ge=1, le=512)]
_LEGACY = (
    ("language_model.model.", "model.language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
)
_HEAD = "lm_head.weight"
_EMBEDDING = "model.language_model.embed_tokens.weight"
_COMPARE_ROWS = 1024


class _Config(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _TextConfig(_Config):
    """Gemma2Config; a default is the one of transformers, for fields that published checkpoints leave out."""

    model_type: Literal["gemma2"]
    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Layers
    num_attention_heads: Count
    num_key_value_heads: Count
    head_dim: Annotated[int, Field(ge=2, le=4096, multiple_of=2)] = 256
    query_pre_attn_scalar: Positive = 256
    sliding_window: Count = 4096
    max_position_embeddings: Count = 8192
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive = 10000.0
    attn_logit_softcapping: Positive = 50.0
    final_logit_softcapping: Positive = 30.0
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    attention_bias: Literal[False] = False
    layer_types: tuple[str, ...] | None = None
    # Present only where positions mean something else than this exporter writes.
    rope_scaling: None = None
    rope_parameters: None = None


class _VisionConfig(_Config):
    """SiglipVisionConfig."""

    model_type: Literal["siglip_vision_model"]
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Layers
    num_attention_heads: Count
    image_size: Annotated[int, Field(ge=1, le=4096)] = 224
    patch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    num_channels: Literal[3] = 3
    layer_norm_eps: Positive = 1e-6
    hidden_act: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"


class _PaliGemmaConfig(_Config):
    text_config: _TextConfig
    vision_config: _VisionConfig


class PaliGemma2:
    """The family `paligemma2`."""

    name = "paligemma2"
    description = "paligemma with a gemma2 text model"

    def matches(self, config: Any) -> bool:
        """A PaliGemma config whose text model is Gemma 2."""
        if not isinstance(config, dict) or config.get("model_type") != "paligemma":
            return False
        text = config.get("text_config")
        return isinstance(text, dict) and text.get("model_type") == "gemma2"

    def load(self, checkpoint: Checkpoint) -> Model:
        """Check config and tensors against each other; raises CheckpointError."""
        config = _read_config(checkpoint)
        shapes = Shapes(text=_text_shapes(config.text_config), vision=_vision_shapes(checkpoint, config))
        found = _canonical_names(checkpoint)
        _check_tied_head(checkpoint, found)
        _check_window(checkpoint, shapes)
        language, vision = _language_plans(shapes.text), _vision_plans(shapes.vision)
        check_tensors(checkpoint, found, [*language, *vision])
        notes = []
        if config.text_config.query_pre_attn_scalar != config.text_config.head_dim:
            notes.append(
                "query_pre_attn_scalar is not head_dim: stock llama.cpp, which does not read hyt.attention.scale, "
                "scales attention by head_dim ** -0.5 and differs"
            )
        return Model(self.name, shapes, _as_saved(language, found), _as_saved(vision, found), tuple(notes))


def _read_config(checkpoint: Checkpoint) -> _PaliGemmaConfig:
    path = checkpoint.path / "config.json"
    try:
        config = _PaliGemmaConfig.model_validate(checkpoint.config)
    except ValidationError as problem:
        field, message = first_problem(problem)
        raise CheckpointError(f"{path}: field {field}", expected="a PaliGemma 2 config", received=message) from None
    text, vision = config.text_config, config.vision_config
    kinds = tuple("full_attention" if i % 2 else "sliding_attention" for i in range(text.num_hidden_layers))
    if text.layer_types is not None and text.layer_types != kinds:
        raise CheckpointError(
            f"{path}: field text_config.layer_types",
            expected="sliding and full attention in turn",
            received="another order",
        )
    if text.num_attention_heads % text.num_key_value_heads:
        raise CheckpointError(
            f"{path}: field text_config.num_key_value_heads",
            expected=f"a divisor of {text.num_attention_heads} heads",
            received=str(text.num_key_value_heads),
        )
    if vision.hidden_size % vision.num_attention_heads or vision.image_size % vision.patch_size:
        raise CheckpointError(
            f"{path}: field vision_config",
            expected="heads that divide hidden_size, patches that divide image_size",
            received=f"{vision.num_attention_heads} heads of {vision.hidden_size}, patches of {vision.patch_size} in "
            f"{vision.image_size} pixels",
        )
    return config


def _text_shapes(text: _TextConfig) -> TextShapes:
    return TextShapes(
        architecture="gemma2",
        vocab_size=text.vocab_size,
        context_length=text.max_position_embeddings,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=text.head_dim,
        norm_epsilon=text.rms_norm_eps,
        rope_theta=text.rope_theta,
        attention_scale=text.query_pre_attn_scalar**-0.5,
        attention_softcap=text.attn_logit_softcapping,
        final_softcap=text.final_logit_softcapping,
        sliding_window=text.sliding_window,
        prefix_attention="bidirectional",
    )


def _vision_shapes(checkpoint: Checkpoint, config: _PaliGemmaConfig) -> VisionShapes:
    vision, cameras = config.vision_config, checkpoint.contract.cameras
    if not cameras or any((c.mean, c.std) != (cameras[0].mean, cameras[0].std) for c in cameras):
        raise CheckpointError(
            f"{checkpoint.path / 'hyt.json'}: field cameras",
            expected="at least one camera, all with the same mean and std",
            received=f"{len(cameras)} cameras",
        )
    return VisionShapes(
        architecture="siglip",
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        tokens=(vision.image_size // vision.patch_size) ** 2,
        hidden_size=vision.hidden_size,
        intermediate_size=vision.intermediate_size,
        layers=vision.num_hidden_layers,
        heads=vision.num_attention_heads,
        norm_epsilon=vision.layer_norm_eps,
        projection_dim=config.text_config.hidden_size,
        image_mean=cameras[0].mean,
        image_std=cameras[0].std,
    )


def _check_window(checkpoint: Checkpoint, shapes: Shapes) -> None:
    """transformers applies no sliding window to a bidirectional prefix: a longer answer would have no reference."""
    tokens = {camera.name: shapes.vision.tokens for camera in checkpoint.contract.cameras}
    positions, window = answer_positions(checkpoint.contract, tokens), shapes.text.sliding_window
    if window is not None and window < positions:
        raise CheckpointError(
            f"{checkpoint.path / 'config.json'}: field text_config.sliding_window",
            expected=f"at least the {positions} positions of prompt, thought and action",
            received=str(window),
        )


def _canonical_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Today's name of each tensor -> its name in the checkpoint."""
    found: dict[str, str] = {}
    for saved in checkpoint.tensors:
        name = next((new + saved[len(old) :] for old, new in _LEGACY if saved.startswith(old)), saved)
        if name in found:
            raise CheckpointError(
                f"{checkpoint.path}: weights",
                expected=f"tensor {name!r} once",
                received=f"{found[name]!r} and {saved!r}",
            )
        found[name] = saved
    return found


def _check_tied_head(checkpoint: Checkpoint, found: dict[str, str]) -> None:
    """Gemma 2 decodes with its embedding; a head that was saved beside it must be the same matrix."""
    head, embedding = found.pop(_HEAD, None), found.get(_EMBEDDING)
    if head is None or embedding is None:
        return
    shape = checkpoint.tensors[embedding].shape
    same = checkpoint.tensors[head].shape == shape
    for first in range(0, shape[0] if same else 0, _COMPARE_ROWS):
        count = min(_COMPARE_ROWS, shape[0] - first)
        a, b = (checkpoint.read_rows(name, first, count) for name in (head, embedding))
        same = same and bool((a == b).all())
    if not same:
        raise CheckpointError(
            f"{checkpoint.path}: tensor {head!r}", expected="the embedding (tied)", received="another matrix"
        )


def _language_plans(text: TextShapes) -> list[TensorPlan]:
    hidden, queries, keys = text.hidden_size, text.heads * text.head_dim, text.kv_heads * text.head_dim
    plans = [TensorPlan("token_embd.weight", _EMBEDDING, (text.vocab_size, hidden), "embedding", "token embedding")]
    for i in range(text.layers):
        source, target = f"model.language_model.layers.{i}.", f"blk.{i}."
        for gguf, saved, shape, group in (
            ("attn_q", "self_attn.q_proj", (queries, hidden), "text attention"),
            ("attn_k", "self_attn.k_proj", (keys, hidden), "text attention"),
            ("attn_v", "self_attn.v_proj", (keys, hidden), "text attention"),
            ("attn_output", "self_attn.o_proj", (hidden, queries), "text attention"),
            ("ffn_gate", "mlp.gate_proj", (text.intermediate_size, hidden), "text feed-forward"),
            ("ffn_up", "mlp.up_proj", (text.intermediate_size, hidden), "text feed-forward"),
            ("ffn_down", "mlp.down_proj", (hidden, text.intermediate_size), "text feed-forward"),
        ):
            plans.append(TensorPlan(f"{target}{gguf}.weight", f"{source}{saved}.weight", shape, "linear", group))
        for gguf, saved in (
            ("attn_norm", "input_layernorm"),
            ("post_attention_norm", "post_attention_layernorm"),
            ("ffn_norm", "pre_feedforward_layernorm"),
            ("post_ffw_norm", "post_feedforward_layernorm"),
        ):
            plans.append(_norm(f"{target}{gguf}.weight", f"{source}{saved}.weight", hidden))
    return [*plans, _norm("output_norm.weight", "model.language_model.norm.weight", hidden)]


def _norm(name: str, source: str, hidden: int) -> TensorPlan:
    return TensorPlan(name, source, (hidden,), "fixed", "text norms", add=1.0)


def _vision_plans(vision: VisionShapes) -> list[TensorPlan]:
    hidden, wide, patch = vision.hidden_size, vision.intermediate_size, vision.patch_size
    tower = "model.vision_tower.vision_model."
    plans: list[TensorPlan] = []

    def add(name: str, source: str, shape: tuple[int, ...], group: str, role: Role = "fixed") -> None:
        plans.append(TensorPlan(name, source, shape, role, group))

    def add_affine(name: str, source: str, shape: tuple[int, ...], group: str, role: Role = "linear") -> None:
        add(f"{name}.weight", f"{source}.weight", shape, group, role)
        add(f"{name}.bias", f"{source}.bias", shape[:1], "vision norms, biases, positions")

    small = "vision norms, biases, positions"
    add_affine(
        "v.patch_embd", f"{tower}embeddings.patch_embedding", (hidden, 3, patch, patch), "vision patches", "fixed"
    )
    add("v.position_embd.weight", f"{tower}embeddings.position_embedding.weight", (vision.tokens, hidden), small)
    for i in range(vision.layers):
        source, target = f"{tower}encoder.layers.{i}.", f"v.blk.{i}."
        add_affine(f"{target}ln1", f"{source}layer_norm1", (hidden,), small, "fixed")
        for gguf, saved in (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj"), ("attn_out", "out_proj")):
            add_affine(f"{target}{gguf}", f"{source}self_attn.{saved}", (hidden, hidden), "vision attention")
        add_affine(f"{target}ln2", f"{source}layer_norm2", (hidden,), small, "fixed")
        add_affine(f"{target}ffn_up", f"{source}mlp.fc1", (wide, hidden), "vision feed-forward")
        add_affine(f"{target}ffn_down", f"{source}mlp.fc2", (hidden, wide), "vision feed-forward")
    add_affine("v.post_ln", f"{tower}post_layernorm", (hidden,), small, "fixed")
    add_affine("mm.0", "model.multi_modal_projector.linear", (vision.projection_dim, hidden), "projector")
    return plans


def _as_saved(plans: list[TensorPlan], found: dict[str, str]) -> tuple[TensorPlan, ...]:
    return tuple(TensorPlan(p.name, found[p.source], p.shape, p.role, p.group, p.add) for p in plans)
