"""Widens feed-forward layers of the vision towers with zeros until blocks divide their rows: 4304 to 4320 for SigLIP.

    h = activation(up x + b)    the new rows of `up` and of b are zero, and every activation here gives 0 for 0
    y = down h + c              so the new columns of `down` meet zeros, whatever their blocks hold after quantisation

The numbers are therefore those of the narrow layer, up to the order of sums. The file and the manifest name the new
width, so no reader has to know of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hyt.export.families.base import Model, TensorPlan

BLOCKS = (256, 32)  # of the K types, and of the others
_LARGEST_SHARE = 8  # a layer grows by an eighth at most: it is read and multiplied with its zeros


@dataclass(frozen=True)
class Padding:
    """What was widened: rows of `columns` numbers in `tensors` are stored as rows of `padded`."""

    tensors: tuple[str, ...]
    columns: int
    padded: int


def padded_width(width: int, block: int) -> int:
    """The next multiple of `block` or, where that is too far, of a smaller one of BLOCKS; else the width itself."""
    for size in BLOCKS:
        wider = -(-width // size) * size
        if size <= block and (wider - width) * _LARGEST_SHARE <= width:
            return wider
    return width


def pad_feed_forward(model: Model, block: int) -> tuple[Model, tuple[Padding, ...]]:
    """The model with vision layers that blocks of `block` divide, where few zeros reach that; and what was widened."""
    vision, plans, done = model.shapes.vision, list(model.vision), []
    towers = []
    for index, tower in enumerate(vision.towers):
        width = padded_width(tower.intermediate_size, block)
        if width != tower.intermediate_size:
            prefix = "v.blk." if index == 0 else f"v{index}.blk."
            plans = [_padded(plan, width) if plan.name.startswith(prefix) else plan for plan in plans]
            names = [p.name for p in plans if p.name.startswith(prefix) and p.name.endswith("ffn_down.weight")]
            done.append(Padding(tuple(names), tower.intermediate_size, width))
        towers.append(width)
    if not done:
        return model, ()
    second = None if vision.second is None else vision.second.model_copy(update={"intermediate_size": towers[1]})
    vision = vision.model_copy(update={"intermediate_size": towers[0], "second": second})
    shapes = model.shapes.model_copy(update={"vision": vision})
    return replace(model, shapes=shapes, vision=tuple(plans)), tuple(done)


def _padded(plan: TensorPlan, width: int) -> TensorPlan:
    rows, *columns = plan.shape
    if plan.name.endswith("ffn_down.weight"):
        return replace(plan, shape=(rows, width), saved=plan.saved_shape, zeros=(0, width - columns[0]))
    if plan.name.endswith(("ffn_up.weight", "ffn_up.bias")):
        return replace(plan, shape=(width, *columns), saved=plan.saved_shape, zeros=(width - rows, 0))
    return plan
