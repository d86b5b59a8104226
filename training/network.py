"""A vision-language model under the hybrid objective: from a batch to hidden states, logits and the loss."""

from __future__ import annotations

from typing import Any

import torch

from hyt.training.families import family_of
from hyt.training.loss import SmoothedCrossEntropy, batch_loss
from hyt.training.packing import IGNORED, IMAGE_SLOT, Batch, attention_mask


def hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """Final hidden states (B, L, hidden) of every position."""
    family = family_of(model.config)
    embeddings = model.get_input_embeddings()(batch.ids.clamp(min=0))
    images = family.image_embeddings(model, batch.pixels.flatten(0, 1).to(embeddings.dtype))
    slots = (batch.ids == IMAGE_SLOT)[:, :, None].expand_as(embeddings)
    embeddings = embeddings.masked_scatter(slots, images.to(embeddings.dtype))
    mask = attention_mask(
        batch.branch, batch.positions, bidirectional_prefix=family.bidirectional_prefix, dtype=embeddings.dtype
    )
    return family.decode(model, embeddings, mask, batch.positions)


def target_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Logits (N, vocab) at the N positions that have a target."""
    return family_of(model.config).logits(model, hidden_states(model, batch)[batch.targets != IGNORED])


class HybridNetwork(torch.nn.Module):
    """The module that is trained: its forward is the loss, so that every way of wrapping a module can wrap it."""

    def __init__(self, model: Any, cross_entropy: SmoothedCrossEntropy) -> None:
        super().__init__()
        self.model = model
        self.cross_entropy = cross_entropy

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """The loss of the tensors of a `Batch`; outside training, the logits (N, vocab) at its N target positions."""
        batch = Batch(*tensors)
        logits = target_logits(self.model, batch)
        if not self.training:
            return logits
        return batch_loss(self.cross_entropy(logits, batch.targets[batch.targets != IGNORED]), batch)


def unwrapped(network: Any) -> HybridNetwork:
    """The HybridNetwork within the wrappers of distributed training."""
    while not isinstance(network, HybridNetwork):
        network = network.module
    return network
