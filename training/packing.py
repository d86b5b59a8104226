"""Training sequences and their layout as one batch: a prefix, and branches that continue it without seeing each other.

A branch is a modality tag and what is generated behind it: tokens, and the slots of a continuous action. Branches of
one sequence share positions, as each follows the prefix; the mask keeps each to the prefix and its own past. One branch
is the plain case, several share the cost of the prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Ids = list[int]

IMAGE_SLOT = -1
"""Stands in a prefix for one position that an image fills; images fill the slots in the order of the prompt."""

ACTION_SLOT = -2
"""Stands for the first action slot of a continuous action; the slots behind it are -3, -4 and so on."""

IGNORED = -1
"""Target of a position whose output is not trained."""

PREFIX_BRANCH, PADDING_BRANCH = 0, -1


@dataclass(frozen=True)
class Branch:
    """A continuation of a prefix: tokens fed (the tag first), tokens to predict at each, and the weight of each.

    Of a continuous action, action slots stand behind the tokens, and `numbers` holds what to predict there.
    """

    inputs: Ids
    targets: Ids
    weights: list[float]
    numbers: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Sequence:
    """One prefix, image slots included, and the branches that continue it."""

    prefix: Ids
    branches: tuple[Branch, ...]

    @property
    def positions(self) -> int:
        """Number of positions that are processed for this sequence."""
        return len(self.prefix) + sum(len(branch.inputs) for branch in self.branches)


class Batch(NamedTuple):
    """B sequences of L positions as tensors.

    pixels float32 (B, cameras, 3, H, W), normalised; ids int64 (B, L), IMAGE_SLOT where an image stands, ACTION_SLOT
    and below at action slots; positions int64 (B, L); branch int64 (B, L): 0 prefix, 1.. branches, -1 padding; targets
    int64 (B, L), IGNORED where no token is trained; weights float32 (B, L); numbers float32 (B, L), what is trained at
    action slots, in [-1, 1].
    """

    pixels: torch.Tensor
    ids: torch.Tensor
    positions: torch.Tensor
    branch: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    numbers: torch.Tensor


def continuation(tag: int, tokens: Ids, weights: list[float]) -> Branch:
    """The branch that starts with `tag` and is trained to produce `tokens`, each with its weight."""
    return Branch(inputs=[tag, *tokens[:-1]], targets=tokens, weights=weights)


def pack(sequences: list[Sequence], pixels: torch.Tensor) -> Batch:
    """Lay sequences and their normalised pixels (B, cameras, 3, H, W) out as one padded batch."""
    shape = (len(sequences), max(sequence.positions for sequence in sequences))
    ids = np.zeros(shape, np.int64)
    positions = np.zeros(shape, np.int64)
    branch = np.full(shape, PADDING_BRANCH, np.int64)
    targets = np.full(shape, IGNORED, np.int64)
    weights = np.zeros(shape, np.float32)
    numbers = np.zeros(shape, np.float32)
    for row, sequence in enumerate(sequences):
        end = len(sequence.prefix)
        ids[row, :end] = sequence.prefix
        positions[row, :end] = np.arange(end)
        branch[row, :end] = PREFIX_BRANCH
        start = end
        for number, part in enumerate(sequence.branches, start=1):
            stop = start + len(part.inputs)
            ids[row, start:stop] = part.inputs
            positions[row, start:stop] = end + np.arange(stop - start)
            branch[row, start:stop] = number
            targets[row, start:stop] = part.targets
            weights[row, start:stop] = part.weights
            numbers[row, start : start + len(part.numbers)] = part.numbers
            start = stop
    return Batch(pixels, *(torch.from_numpy(a) for a in (ids, positions, branch, targets, weights, numbers)))


def slot_block(ids: torch.Tensor) -> torch.Tensor:
    """Which positions (B, L) decide a continuous action: its slots, and the token before them."""
    slots = ids <= ACTION_SLOT
    before = torch.nn.functional.pad(slots[:, 1:], (0, 1))
    return slots | before


def attention_mask(
    branch: torch.Tensor,
    positions: torch.Tensor,
    *,
    bidirectional_prefix: bool,
    block: torch.Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Additive mask (B, 1, L, L): the prefix sees the prefix (all of it, or its past); a branch sees the prefix and
    its own past. Positions of one branch in `block`, bool (B, L), see each other in both directions.

    It is explicit because transformers' PaliGemma without labels makes the whole input bidirectional.
    """
    to_prefix = (branch == PREFIX_BRANCH)[:, None, :]
    from_prefix = (branch == PREFIX_BRANCH)[:, :, None]
    past = positions[:, :, None] >= positions[:, None, :]
    same = branch[:, :, None] == branch[:, None, :]
    # Padding sees itself, so that no row of the softmax is empty.
    seen = (same & past) | (to_prefix & ~from_prefix)
    if bidirectional_prefix:
        seen = seen | (to_prefix & from_prefix)
    if block is not None:
        seen = seen | (same & block[:, :, None] & block[:, None, :])
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)
    return mask[:, None]


def normalise(images: npt.NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """uint8 images (..., H, W, 3) to normalised float32 pixels (..., 3, H, W)."""
    pixels = torch.from_numpy(images).movedim(-1, -3).float() / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
