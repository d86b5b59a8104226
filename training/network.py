"""A vision-language model under the hybrid objective: from a batch to hidden states, logits and the loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from hyt.training.continuous import ActionHead, number_loss
from hyt.training.families import family_of
from hyt.training.loss import SmoothedCrossEntropy, batch_loss
from hyt.training.packing import ACTION_SLOT, IGNORED, IMAGE_SLOT, Batch, attention_mask, slot_block


class Answers(NamedTuple):
    """Logits (N, vocab) at a batch's N target positions, and the numbers (n, K) of its n continuous actions."""

    logits: torch.Tensor
    numbers: torch.Tensor


def hidden_states(model: Any, batch: Batch, action_head: ActionHead | None = None) -> torch.Tensor:
    """Final hidden states (B, L, hidden) of every position; action slots need the head that embeds them."""
    family = family_of(model.config)
    embeddings = model.get_input_embeddings()(batch.ids.clamp(min=0))
    images = family.image_embeddings(model, batch.pixels.flatten(0, 1).to(embeddings.dtype))
    slots = (batch.ids == IMAGE_SLOT)[:, :, None].expand_as(embeddings)
    embeddings = embeddings.masked_scatter(slots, images.to(embeddings.dtype))
    if action_head is not None:
        embeddings = action_head.embed(embeddings, batch.ids)
    mask = attention_mask(
        batch.branch,
        batch.positions,
        bidirectional_prefix=family.bidirectional_prefix,
        block=None if action_head is None else slot_block(batch.ids),
        dtype=embeddings.dtype,
    )
    return family.decode(model, embeddings, mask, batch.positions)


def target_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Logits (N, vocab) at the N positions that have a target."""
    return family_of(model.config).logits(model, hidden_states(model, batch)[batch.targets != IGNORED])


class HybridNetwork(torch.nn.Module):
    """The module that is trained: its forward is the loss, so that every way of wrapping a module can wrap it."""

    def __init__(self, model: Any, cross_entropy: SmoothedCrossEntropy, action_head: ActionHead | None = None) -> None:
        super().__init__()
        self.model = model
        self.cross_entropy = cross_entropy
        self.action_head = action_head

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor | Answers:
        """The loss of the tensors of a `Batch`; outside training, its Answers."""
        batch = Batch(*tensors)
        states = hidden_states(self.model, batch, self.action_head)
        logits = family_of(self.model.config).logits(self.model, states[batch.targets != IGNORED])
        numbers = states.new_zeros(0, 0)
        if self.action_head is not None:
            numbers = self.action_head(states[batch.ids <= ACTION_SLOT])
        if not self.training:
            return Answers(logits, numbers)
        loss = batch_loss(self.cross_entropy(logits, batch.targets[batch.targets != IGNORED]), batch)
        return loss if self.action_head is None else loss + number_loss(numbers, batch)


def unwrapped(network: Any) -> HybridNetwork:
    """The HybridNetwork within the wrappers of distributed training."""
    while not isinstance(network, HybridNetwork):
        network = network.module
    return network
