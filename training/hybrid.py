"""The HyT objective (arXiv 2510.00600) on packed sequences: act, think and follow from one network.

    act:    prefix(image, state, instruction)      <act>    a1 .. aK
    think:  prefix(image, state, instruction)      <think>  t1 .. tn </think> a1 .. aK
    follow: prefix(image, state, sub-instruction)  <follow> a1 .. aK        the instruction is not seen

The prefix is bidirectional, what follows it is causal. act and think of one data point share their prefix in one
sequence: a block mask keeps each from seeing the other, so the shared prefix is computed
once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PaliGemmaForConditionalGeneration

Ids = list[int]

IGNORED = -1
"""Target of a position whose output is not trained."""

PREFIX_BRANCH, PADDING_BRANCH = 0, -1


@dataclass(frozen=True)
class Branch:
    """A continuation of a prefix: the tag and tokens that are fed, and the token to predict at each position."""

    inputs: Ids
    targets: Ids
    weight: float


@dataclass(frozen=True)
class Sequence:
    """One prefix (without its image tokens) and the branches that continue it."""

    prefix: Ids
    branches: tuple[Branch, ...]


@dataclass(frozen=True)
class Batch:
    """Sequences as arrays; B sequences of L positions, the first `image_tokens` of each being the image.

    ids (B, L) int64, 0 at image positions; positions (B, L) int64; branch (B, L) int64: 0 prefix, 1.. branches, -1
    padding; targets (B, L) int64, IGNORED where nothing is trained; weights (B, L) float32.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    branch: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def continuation(tag: int, tokens: Ids, weights: float) -> Branch:
    """The branch that starts with `tag` and is trained to produce `tokens`."""
    return Branch(inputs=[tag, *tokens[:-1]], targets=tokens, weight=weights)


def pack(sequences: list[Sequence], image_tokens: int) -> Batch:
    """Lay sequences out as one padded batch; branches of one sequence share positions, as each follows the prefix."""
    length = max(image_tokens + len(s.prefix) + sum(len(b.inputs) for b in s.branches) for s in sequences)
    shape = (len(sequences), length)
    ids = np.zeros(shape, np.int64)
    positions = np.zeros(shape, np.int64)
    branch = np.full(shape, PADDING_BRANCH, np.int64)
    targets = np.full(shape, IGNORED, np.int64)
    weights = np.zeros(shape, np.float32)
    for row, sequence in enumerate(sequences):
        end = image_tokens + len(sequence.prefix)
        ids[row, image_tokens:end] = sequence.prefix
        positions[row, :end] = np.arange(end)
        branch[row, :end] = PREFIX_BRANCH
        start = end
        for number, part in enumerate(sequence.branches, start=1):
            stop = start + len(part.inputs)
            ids[row, start:stop] = part.inputs
            positions[row, start:stop] = end + np.arange(stop - start)
            branch[row, start:stop] = number
            targets[row, start:stop] = part.targets
            weights[row, start:stop] = part.weight
            start = stop
    return Batch(*(torch.from_numpy(a) for a in (ids, positions, branch, targets, weights)))


def attention_mask(branch: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Additive mask (B, 1, L, L) float32: the prefix sees the prefix; a branch sees the prefix and its own past.

    It is explicit because transformers' PaliGemma without labels makes the whole input bidirectional.
    """
    to_prefix = (branch == PREFIX_BRANCH)[:, None, :]
    same = branch[:, :, None] == branch[:, None, :]
    past = positions[:, :, None] >= positions[:, None, :]
    # Padding sees itself, so that no row of the softmax is empty.
    seen = torch.where((branch == PREFIX_BRANCH)[:, :, None], to_prefix, to_prefix | (same & past))
    mask = torch.full(seen.shape, torch.finfo(torch.float32).min).masked_fill(seen, 0.0)
    return mask[:, None]


def smoothed_targets(vocab_size: int, ordered: list[tuple[int, int]], width: float) -> torch.Tensor:
    """Target distributions (vocab, vocab): one-hot for words, a Gaussian of `width` bins within each ordered id range.

    `ordered` lists (first id, count) of ranges whose neighbours mean nearly the same (action bins, image coordinates).
    """
    table = torch.eye(vocab_size)
    for first, count in ordered:
        position = torch.arange(count, dtype=torch.float32)
        near = torch.exp(-0.5 * ((position[:, None] - position[None]) / width) ** 2)
        table[first : first + count, first : first + count] = near / near.sum(1, keepdim=True)
    return table


def hidden_states(model: PaliGemmaForConditionalGeneration, pixels: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Final hidden states (B, L, hidden) of a PaliGemma model for normalised pixels (B, 3, H, W)."""
    inner = model.model
    images = inner.get_image_features(pixels)
    embeddings = inner.get_input_embeddings()(batch.ids)
    embeddings = torch.cat([images.to(embeddings.dtype), embeddings[:, images.shape[1] :]], dim=1)
    mask = attention_mask(batch.branch, batch.positions)
    output = inner.language_model(
        inputs_embeds=embeddings,
        attention_mask={"full_attention": mask, "sliding_attention": mask},
        position_ids=batch.positions,
        use_cache=False,
    )
    states: torch.Tensor = output.last_hidden_state
    return states


def target_logits(model: PaliGemmaForConditionalGeneration, states: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Soft-capped logits (N, vocab) at the N positions that have a target."""
    logits = model.lm_head(states[batch.targets != IGNORED])
    cap = model.config.text_config.final_logit_softcapping
    capped: torch.Tensor = cap * torch.tanh(logits / cap) if cap else logits
    return capped


def hybrid_loss(logits: torch.Tensor, batch: Batch, smoothed: torch.Tensor) -> torch.Tensor:
    """Cross entropy at the target positions, weighted by position and divided by the number of sequences."""
    chosen = batch.targets != IGNORED
    loss = torch.nn.functional.cross_entropy(logits, smoothed[batch.targets[chosen]], reduction="none")
    return (loss * batch.weights[chosen]).sum() / len(batch.ids)


def normalise(images: npt.NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """uint8 images (B, H, W, 3) to normalised float32 pixels (B, 3, H, W)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
