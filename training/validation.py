"""Validation of a fit on held-out episodes: action errors in each modality, with float and with Q4_0 weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from hyt.training.batches import normalised_images
from hyt.training.hybrid import Composer
from hyt.training.network import unwrapped
from hyt.training.packing import IGNORED, Sequence, pack
from hyt.training.quantized import q4_0_weights
from hyt.training.samples import Example, Samples

BATCH = 32


@torch.no_grad()
def validate(
    network: Any,
    samples: Samples,
    composer: Composer,
    device: torch.device,
    *,
    quantised: bool = True,
    limit: int = 512,
) -> dict[str, float]:
    """Mean absolute action error in each modality, in [-1, 1] units, teacher forced (think: given the true thought).

    `thought` is the part of thought tokens predicted exactly; `q4_...` are the same with weights rounded to Q4_0 (when
    `quantised`; sharded weights cannot be). `network` is the prepared HybridNetwork. Modalities that no held-out data
    point has are left out.
    """
    indices = np.linspace(0, len(samples) - 1, min(limit, len(samples))).astype(int)
    examples = [samples[int(index)] for index in indices]
    network.eval()
    result: dict[str, float] = {}
    contexts: dict[str, AbstractContextManager[None]] = {"": nullcontext()}
    if quantised:
        contexts["q4_"] = q4_0_weights(unwrapped(network).model)
    for name, weights in contexts.items():
        with weights:
            for modality in ("act", "think", "follow"):
                errors = _errors(network, samples, composer, modality, examples, device)
                result |= {name + key: round(value, 4) for key, value in errors.items()}
    network.train()
    return result


def _errors(
    network: Any, samples: Samples, composer: Composer, modality: str, examples: list[Example], device: torch.device
) -> dict[str, float]:
    contract = samples.contract
    action_ids = torch.tensor(contract.action.token_ids)
    centers = np.array(contract.action.bin_centers)
    errors: list[float] = []
    right: list[bool] = []
    chosen = [example for example in examples if modality == "act" or example.thought is not None]
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        sequences = [_sequence(composer, modality, example) for example in part]
        batch = pack(sequences, normalised_images(samples, np.stack([example.images for example in part])))
        answers = network(*(tensor.to(device) for tensor in batch))
        logits, numbers = answers.logits.float().cpu(), answers.numbers.float().cpu().numpy()
        counts = (batch.targets != IGNORED).sum(1).tolist()
        for row, (example, rows) in enumerate(zip(part, logits.split(counts), strict=True)):
            written = len(rows) - len(example.action_ids)
            if contract.action.kind == "continuous":
                picked = np.clip(numbers[row], -1, 1)
            else:
                picked = centers[rows[written:][:, action_ids].argmax(1).numpy()]
            errors.append(float(np.abs(picked - example.actions.ravel()).mean()))
            if modality == "think" and example.thought is not None:
                said = rows[:written].argmax(1).tolist()
                right += [a == b for a, b in zip(said, [*example.thought, contract.hybrid().end], strict=True)]
    result = {modality: float(np.mean(errors))} if errors else {}
    return result | ({"thought": float(np.mean(right))} if right else {})


def _sequence(composer: Composer, modality: str, example: Example) -> Sequence:
    if modality == "follow":
        assert example.thought is not None
        return composer.following(example, example.sub_instruction or example.thought)
    return composer.acting(example, modality)
