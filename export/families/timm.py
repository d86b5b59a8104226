"""The image encoders DINOv2 and SigLIP under timm's names, as Prismatic models keep them.

Features are those behind the last layer but one, without the final norm; class token and registers are left out. Sizes
are read from the tensors, since the config names a timm model and nothing else; only the heads are known by that name.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import TensorPlan
from hyt.export.families.vision import SMALL, Normalisation, affine
from hyt.runtime.manifest import TowerShapes

_IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class TimmModel:
    """What a timm model's name stands for; timm's layer norms have an epsilon of 1e-6.

    normalisation: timm's own, where preprocessor_config.json states no other.
    """

    kind: str
    heads: int
    normalisation: Normalisation
    class_token: bool


TIMM_MODELS = {
    "vit_large_patch14_reg4_dinov2.lvd142m": TimmModel("dinov2", 16, _IMAGENET, True),
    "vit_so400m_patch14_siglip_224": TimmModel("siglip", 16, _HALF, False),
    "vit_so400m_patch14_siglip_384": TimmModel("siglip", 16, _HALF, False),
}


class TimmTower:
    """One tower of a checkpoint: `found` are the canonical names, those of the tower begin with `prefix`."""

    def __init__(self, checkpoint: Checkpoint, found: dict[str, str], prefix: str, model_id: str, index: int) -> None:
        self._checkpoint, self._found, self._prefix = checkpoint, found, prefix
        self._target = "v." if index == 0 else f"v{index}."
        self.model = TIMM_MODELS[model_id]
        blocks = {name.removeprefix(prefix).split(".")[1] for name in found if name.startswith(f"{prefix}blocks.")}
        self.depth = len(blocks)
        if self.depth < 2:
            raise self._bad(f"tensor {prefix}blocks.1.norm1.weight", "at least two layers", str(self.depth))

    def shapes(self, normalisation: Normalisation | None) -> TowerShapes:
        """The tower's part of the manifest; without a normalisation it is timm's own."""
        hidden, _, patch, _ = self._shape("patch_embed.proj.weight", 4)
        wide, _ = self._shape("blocks.0.mlp.fc1.weight", 2)
        model = self.model
        mean, std = normalisation or model.normalisation
        if hidden % model.heads:
            raise self._bad("width", f"a multiple of {model.heads} heads", str(hidden))
        return TowerShapes(
            architecture=model.kind,
            patch_size=patch,
            hidden_size=hidden,
            intermediate_size=wide,
            layers=self.depth - 1,
            heads=model.heads,
            norm_epsilon=1e-6,
            image_mean=mean,
            image_std=std,
            activation="gelu_erf",
            class_token=model.class_token,
            registers=self._shape("reg_token", 3)[1] if f"{self._prefix}reg_token" in self._found else 0,
            post_norm=False,
            layer_scale=f"{self._prefix}blocks.0.ls1.scale_factor" in self._found,
        )

    def plans(self, tower: TowerShapes, patches: int) -> list[TensorPlan]:
        """Every tensor that is used."""
        hidden, patch, target, prefix = tower.hidden_size, tower.patch_size, self._target, self._prefix
        plans = affine(
            f"{target}patch_embd", f"{prefix}patch_embed.proj", (hidden, 3, patch, patch), "vision patches", "fixed"
        )
        plans.append(self._small("position_embd.weight", "pos_embed", (patches, hidden), (1, patches, hidden)))
        if tower.class_token:
            plans.append(self._small("class_embd", "cls_token", (hidden,), (1, 1, hidden)))
        if tower.registers:
            shape = (1, tower.registers, hidden)
            plans.append(self._small("register_embd", "reg_token", (tower.registers * hidden,), shape))
        for i in range(tower.layers):
            plans += self._layer(tower, f"{prefix}blocks.{i}.", f"{target}blk.{i}.")
        return plans

    def drop_unused(self) -> None:
        """Take out of `found` what stands behind the features: last layer, norm, pooling."""
        unused = tuple(
            f"{self._prefix}{part}." for part in (f"blocks.{self.depth - 1}", "norm", "attn_pool", "fc_norm")
        )
        for name in [name for name in self._found if name.startswith(unused)]:
            del self._found[name]

    def _layer(self, tower: TowerShapes, source: str, target: str) -> list[TensorPlan]:
        hidden, wide = tower.hidden_size, tower.intermediate_size
        plans = affine(f"{target}ln1", f"{source}norm1", (hidden,), SMALL, "fixed")
        for i, name in enumerate(("attn_q", "attn_k", "attn_v")):  # one matrix in the checkpoint
            weight, bias = f"{source}attn.qkv.weight", f"{source}attn.qkv.bias"
            square, first = (hidden, hidden), i * hidden
            plans += [
                TensorPlan(
                    f"{target}{name}.weight", weight, square, "linear", "vision attention", first=first,
                    saved=(3 * hidden, hidden),
                ),
                TensorPlan(f"{target}{name}.bias", bias, (hidden,), "fixed", SMALL, first=first, saved=(3 * hidden,)),
            ]  # fmt: skip
        plans += affine(f"{target}attn_out", f"{source}attn.proj", (hidden, hidden), "vision attention")
        plans += affine(f"{target}ln2", f"{source}norm2", (hidden,), SMALL, "fixed")
        plans += affine(f"{target}ffn_up", f"{source}mlp.fc1", (wide, hidden), "vision feed-forward")
        plans += affine(f"{target}ffn_down", f"{source}mlp.fc2", (hidden, wide), "vision feed-forward")
        if tower.layer_scale:
            for name in ("ls1", "ls2"):
                scale = f"{source}{name}.scale_factor"
                plans.append(TensorPlan(f"{target}{name}.weight", scale, (hidden,), "fixed", SMALL))
        return plans

    def _small(self, name: str, source: str, shape: tuple[int, ...], saved: tuple[int, ...]) -> TensorPlan:
        return TensorPlan(f"{self._target}{name}", f"{self._prefix}{source}", shape, "fixed", SMALL, saved=saved)

    def _shape(self, name: str, rank: int) -> tuple[int, ...]:
        saved = self._found.get(f"{self._prefix}{name}")
        if saved is None:
            raise self._bad("weights", f"tensor {self._prefix + name!r}", "none")
        shape = self._checkpoint.tensors[saved].shape
        if len(shape) != rank or 0 in shape:
            raise self._bad(f"tensor {saved!r}", f"{rank} dimensions", str(list(shape)))
        return shape

    def _bad(self, what: str, expected: str, received: str) -> CheckpointError:
        return CheckpointError(f"{self._checkpoint.path}: {what}", expected=expected, received=received)
