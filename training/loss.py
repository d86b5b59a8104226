"""The loss of a batch: weighted cross entropy at the generated positions, with smoothed targets for ordered tokens."""

from __future__ import annotations

import torch

from hyt.training.packing import IGNORED, Batch


class SmoothedCrossEntropy(torch.nn.Module):
    """Cross entropy whose target is one-hot, or a Gaussian over neighbours within a range of ordered tokens.

    `ordered` lists the token ids of each range whose neighbours mean nearly the same (action bins, image coordinates);
    `width` is the Gaussian's standard deviation in tokens, 0 for one-hot targets everywhere.
    """

    def __init__(self, ordered: list[list[int]], width: float) -> None:
        super().__init__()
        self.count = len(ordered) if width > 0 else 0
        for number, ids in enumerate(ordered[: self.count]):
            position = torch.arange(len(ids), dtype=torch.float32)
            near = torch.exp(-0.5 * ((position[:, None] - position[None]) / width) ** 2)
            self.register_buffer(f"ids{number}", torch.tensor(ids), persistent=False)
            self.register_buffer(f"near{number}", near / near.sum(1, keepdim=True), persistent=False)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy (N,) of logits (N, vocab) for target ids (N,)."""
        log_probability = torch.log_softmax(logits.float(), dim=-1)
        loss = -log_probability.gather(1, targets[:, None])[:, 0]
        for number in range(self.count):
            ids, near = getattr(self, f"ids{number}"), getattr(self, f"near{number}")
            is_target = targets[:, None] == ids[None]  # (N, range)
            smoothed = -(is_target.to(near.dtype) @ near * log_probability[:, ids]).sum(1)
            loss = torch.where(is_target.any(1), smoothed, loss)
        return loss


def batch_loss(losses: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The weighted sum of losses (N,) at the N target positions, divided by the number of sequences."""
    return (losses * batch.weights[batch.targets != IGNORED]).sum() / len(batch.ids)
