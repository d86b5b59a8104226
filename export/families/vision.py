"""What the image encoders have in common: cameras that they fit, affine maps, and the projector behind them."""

from __future__ import annotations

from collections.abc import Sequence

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families.base import Role, TensorPlan
from hyt.runtime.contract import Camera, Contract
from hyt.runtime.manifest import VisionShapes

SMALL = "vision norms, biases, positions"
Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean and std of each channel


def affine(name: str, source: str, shape: tuple[int, ...], group: str, role: Role = "linear") -> list[TensorPlan]:
    """A weight with its bias."""
    return [
        TensorPlan(f"{name}.weight", f"{source}.weight", shape, role, group),
        TensorPlan(f"{name}.bias", f"{source}.bias", shape[:1], "fixed", SMALL),
    ]


def projector_plans(vision: VisionShapes, sources: Sequence[str]) -> list[TensorPlan]:
    """The maps of the projector, `sources` being their checkpoint names in order."""
    widths = (vision.feature_size, *vision.projector_widths, vision.projection_dim)
    plans = []
    for i, source in enumerate(sources):
        plans += affine(f"mm.{2 * i}", source, (widths[i + 1], widths[i]), "projector")
    return plans


def camera_normalisation(checkpoint: Checkpoint, contract: Contract) -> Normalisation:
    """Mean and std of all cameras; raises CheckpointError unless there is one and all normalise pixels alike."""
    cameras: tuple[Camera, ...] = contract.cameras
    if not cameras or any((c.mean, c.std) != (cameras[0].mean, cameras[0].std) for c in cameras):
        raise CheckpointError(
            f"{checkpoint.path / 'hyt.json'}: field cameras",
            received="there must be a camera, and all cameras must have the same mean and std",
        )
    return cameras[0].mean, cameras[0].std
