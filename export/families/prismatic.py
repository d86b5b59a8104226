"""OpenVLA and MiniVLA: Prismatic models, DINOv2 and SigLIP side by side, a three-layer projector, Llama 2 or Qwen 2.5.

Two layouts are read: that of the Hugging Face checkpoints (`vision_backbone.featurizer`, `language_model`, `projector`)
and that of Prismatic's own training (`dino_featurizer`, `llm_backbone.llm`), saved as safetensors: a pickle is never
opened. Without a hyt.json the contract is made of `norm_stats` and what the user states.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import (
    Config,
    Model,
    TensorPlan,
    as_saved,
    canonical_names,
    check_tensors,
    check_tied_head,
    read_config,
)
from hyt.export.families.llama import LlamaConfig
from hyt.export.families.prismatic_contract import MINIVLA, OPENVLA, Convention, build_contract, check_own_contract
from hyt.export.families.qwen import Qwen2Config
from hyt.export.families.timm import TIMM_MODELS, TimmTower
from hyt.export.families.vision import Normalisation, projector_plans
from hyt.export.statement import Statement, own_contract
from hyt.runtime.contract import Contract, Finite, first_problem
from hyt.runtime.manifest import Positive, Shapes, TowerShapes, VisionShapes

Channels = tuple[Finite, Finite, Finite]
Deviations = tuple[Positive, Positive, Positive]
_NATIVE = (
    ("llm_backbone.llm.", "language_model."),
    ("vision_backbone.dino_featurizer.", "vision_backbone.featurizer."),
    ("vision_backbone.siglip_featurizer.", "vision_backbone.fused_featurizer."),
    ("projector.projector.0.", "projector.fc1."),
    ("projector.projector.2.", "projector.fc2."),
    ("projector.projector.4.", "projector.fc3."),
)
_TOWERS = ("vision_backbone.featurizer.", "vision_backbone.fused_featurizer.")
_LANGUAGE, _HEAD = "language_model.model.", "language_model.lm_head.weight"


class PrismaticConfig(Config):
    """The config.json of a Hugging Face OpenVLA checkpoint; the decoder's defaults are transformers'."""

    model_type: Literal["openvla"]
    text_config: Annotated[LlamaConfig | Qwen2Config, Field(discriminator="model_type")]
    timm_model_ids: tuple[str, str]
    timm_override_act_layers: tuple[None, None] = (None, None)
    use_fused_vision_backbone: Literal[True] = True
    arch_specifier: Literal["no-align+fused-gelu-mlp", "no-align+gelu-mlp"] = "no-align+fused-gelu-mlp"
    image_sizes: tuple[int, int]
    n_action_bins: Literal[256] = 256
    pad_to_multiple_of: Annotated[int, Field(ge=1, le=4096)] = 64
    llm_backbone_id: str = ""
    # Several images a step, of other cameras or of the past, which some MiniVLA checkpoints were trained on.
    image_sequence_len: Annotated[int, Field(ge=1, le=64)] = 1

    @model_validator(mode="after")
    def _parts_are_known(self) -> PrismaticConfig:
        for name in self.timm_model_ids:
            if name not in TIMM_MODELS:
                raise ValueError(f"timm model {name!r} is not among {', '.join(TIMM_MODELS)}")
        if self.image_sizes[0] != self.image_sizes[1]:
            raise ValueError(f"image_sizes {self.image_sizes} must be alike")
        return self


class _Prismatic:
    name: str
    description: str
    text: str
    convention: Convention

    def matches(self, config: Any) -> bool:
        """An OpenVLA config with this text model."""
        if not isinstance(config, dict) or config.get("model_type") != "openvla":
            return False
        text = config.get("text_config")
        return isinstance(text, dict) and text.get("model_type") == self.text

    def load(self, checkpoint: Checkpoint, statement: Statement) -> Model:
        """Check config, statistics and tensors against each other; raises CheckpointError."""
        config = read_config(checkpoint, PrismaticConfig, "an OpenVLA config")
        found = _names(checkpoint)
        head, embedding = _HEAD, f"{_LANGUAGE}embed_tokens.weight"
        if config.text_config.tie_word_embeddings:
            check_tied_head(checkpoint, found, head, embedding)
        text = config.text_config.shapes(prefix_attention="causal")
        towers = [
            TimmTower(checkpoint, found, prefix, model, i)
            for i, (prefix, model) in enumerate(zip(_TOWERS, config.timm_model_ids, strict=True))
        ]
        for tower in towers:
            tower.drop_unused()
        pixels = _normalisations(checkpoint)
        vision = _vision(config, text.hidden_size, [tower.shapes(pixels[i]) for i, tower in enumerate(towers)])
        language = config.text_config.plans(_LANGUAGE, head)
        plans: list[TensorPlan] = []
        for tower, sizes in zip(towers, vision.towers, strict=True):
            plans += tower.plans(sizes, vision.tokens)
        plans += projector_plans(vision, ["projector.fc1", "projector.fc2", "projector.fc3"][: _maps(config)])
        check_tensors(checkpoint, found, [*language, *plans])
        contract, notes = self._contract(checkpoint, statement, config, vision)
        shapes = Shapes(text=text, vision=vision)
        return Model(self.name, contract, shapes, as_saved(language, found), as_saved(plans, found), tuple(notes))

    def _contract(
        self, checkpoint: Checkpoint, statement: Statement, config: PrismaticConfig, vision: VisionShapes
    ) -> tuple[Contract, list[str]]:
        """That of hyt.json, or one made of the statistics; both show as many images as the policy was trained on."""
        images = config.image_sequence_len
        if checkpoint.contract is not None:
            contract = own_contract(checkpoint, statement)
            check_own_contract(checkpoint, contract)
            if contract.image_count != images:
                raise CheckpointError(
                    f"{checkpoint.path / 'hyt.json'}: field cameras",
                    expected=f"{images} images, as image_sequence_len of config.json",
                    received=f"{contract.image_count}",
                )
            return contract, []
        if images != 1:
            raise CheckpointError(
                f"{checkpoint.path / 'config.json'}: field image_sequence_len",
                expected="1, or a hyt.json that names the cameras and their frames",
                received=str(images),
            )
        size = config.text_config.vocab_size
        return build_contract(checkpoint, self.convention, statement, vision, size, config.llm_backbone_id)


class OpenVla(_Prismatic):
    """The family `openvla`."""

    name = "openvla"
    description = "openvla with a llama text model"
    text = "llama"
    convention = OPENVLA


class MiniVla(_Prismatic):
    """The family `minivla`."""

    name = "minivla"
    description = "openvla with a qwen2 text model (MiniVLA)"
    text = "qwen2"
    convention = MINIVLA


def _names(checkpoint: Checkpoint) -> dict[str, str]:
    found = canonical_names(checkpoint, _NATIVE)
    # timm calls layer scale gamma, which transformers would rename at load.
    return {name.removesuffix(".gamma") + ".scale_factor" if name.endswith(".gamma") else name: saved
            for name, saved in found.items()}  # fmt: skip


class _Preprocessor(Config):
    """preprocessor_config.json: mean and std of each tower's pixels."""

    means: tuple[Channels, Channels]
    stds: tuple[Deviations, Deviations]


def _normalisations(checkpoint: Checkpoint) -> list[Normalisation | None]:
    """Of each tower as preprocessor_config.json states it; None without that file."""
    data = checkpoint.read_json("preprocessor_config.json")
    if data is None:
        return [None, None]
    try:
        stated = _Preprocessor.model_validate(data)
    except ValidationError as problem:
        field, message = first_problem(problem)
        raise CheckpointError(
            f"{checkpoint.path / 'preprocessor_config.json'}: field {field}",
            expected="means and stds of two towers",
            received=message,
        ) from None
    return list(zip(stated.means, stated.stds, strict=True))


def _maps(config: PrismaticConfig) -> int:
    return 3 if config.arch_specifier.endswith("fused-gelu-mlp") else 2


def _vision(config: PrismaticConfig, hidden: int, towers: list[TowerShapes]) -> VisionShapes:
    first, second = towers
    size = config.image_sizes[0]
    features = first.hidden_size + second.hidden_size
    inner = (4 * features, hidden) if _maps(config) == 3 else (hidden,)
    return VisionShapes(
        **first.model_dump(),
        image_size=size,
        tokens=(size // first.patch_size) ** 2,
        projection_dim=hidden,
        projector_widths=inner,
        second=second,
    )
