"""Validation of a fit on held-out episodes: action errors in each modality, with float and with Q4_0 weights."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import torch
from transformers import PaliGemmaForConditionalGeneration

from hyt.training.hybrid import IGNORED, hidden_states, normalise, pack, target_logits
from hyt.training.quantized import q4_0_weights
from hyt.training.samples import Samples, Weights, image_tokens


@torch.no_grad()
def validate(model: PaliGemmaForConditionalGeneration, samples: Samples, limit: int = 512) -> dict[str, float]:
    """Mean absolute action error in each modality, in [-1, 1] units, teacher forced (think: given the true thought).

    `thought` is the part of thought tokens predicted exactly; `q4_...` are the same with weights rounded to Q4_0.
    """
    indices = np.linspace(0, len(samples) - 1, min(limit, len(samples))).astype(int)
    result: dict[str, float] = {}
    for name, weights in (("", nullcontext()), ("q4_", q4_0_weights(model))):
        with weights:
            result |= {name + key: value for key, value in _errors(model, samples, indices).items()}
    return {key: round(value, 4) for key, value in result.items()}


def _errors(
    model: PaliGemmaForConditionalGeneration, samples: Samples, indices: npt.NDArray[np.int64]
) -> dict[str, float]:
    contract = samples.contract
    tokens = image_tokens(contract, model.config.vision_config.patch_size)
    first, bins = contract.action.token_ids[0], len(contract.action.token_ids)
    centers = np.array(contract.action.bin_centers)
    camera = contract.cameras[0]
    errors: dict[str, list[float]] = {"act": [], "think": [], "follow": []}
    right: list[float] = []
    count = len(contract.action.dimensions) * contract.action.steps
    for chosen in np.array_split(indices, max(len(indices) // 32, 1)):
        pixels = normalise(samples.images[chosen], camera.mean, camera.std)
        both = [samples.thinking(int(i), samples.instruction_ids[samples.tasks[i]][0], Weights()) for i in chosen]
        follow = [samples.following(int(i), samples.sub_instruction_ids[i]) for i in chosen]
        for sequences in (both, follow):
            batch = pack(sequences, tokens)
            logits = target_logits(model, hidden_states(model, pixels, batch), batch).numpy()
            targets = batch.targets[batch.targets != IGNORED].numpy()
            start = 0
            for i, sequence in zip(chosen, sequences, strict=True):
                for number, branch in enumerate(sequence.branches):
                    stop = start + len(branch.targets)
                    picked = centers[logits[stop - count : stop, first : first + bins].argmax(1)]
                    error = float(np.abs(picked - samples.actions[i].ravel())[:3].mean())
                    name = "follow" if sequences is follow else ("act", "think")[number]
                    errors[name].append(error)
                    if name == "think":
                        right.extend(logits[start : stop - count].argmax(1) == targets[start : stop - count])
                    start = stop
    return {**{name: float(np.mean(values)) for name, values in errors.items()}, "thought": float(np.mean(right))}
