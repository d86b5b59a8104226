"""Asks a policy for its answers in every modality, so that two policies' answers can be laid side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyt.export.calibration.samples import Sample
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.policy import Policy

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Answer:
    """One answer in one modality.

    values:  float32 (steps, dims) in the robot's units
    tokens:  int32 (K,), action tokens; None of a continuous policy
    thought: int32 (n,), empty where there is none
    logits:  float32 (K, action ids) behind the tokens of the reference's answer; None where the engine gives none
    """

    values: NDArray[np.float32]
    tokens: Ids | None
    thought: Ids
    logits: NDArray[np.float32] | None = None


Answers = dict[str, list[Answer]]
"""By modality (`act`, `think`, `follow`), in the order of the samples that have one."""
_NO_THOUGHT = np.zeros(0, dtype=np.int32)


def ask(
    policy: Policy,
    samples: Sequence[Sample],
    *,
    logits_of: CoreBackend | None = None,
    reference: Answers | None = None,
    on_sample: Callable[[], None] = lambda: None,
) -> Answers:
    """Answers to all samples; raises InputError for a text that the policy cannot read.

    logits_of: the policy's own engine, to give logits too: at the tokens of `reference`, or without one at its own.
    `follow` is asked of the samples that have a sub-instruction.
    """
    asker = _Asker(policy, logits_of)
    answers: Answers = {name: [] for name in policy.contract.modalities.named()}
    for sample in samples:
        policy.reset(instruction=sample.instruction)
        for name in answers:
            if name == "follow" and sample.sub_instruction is None:
                continue
            number = len(answers[name])
            answers[name].append(asker.answer(name, sample, None if reference is None else reference[name][number]))
        on_sample()
    return answers


class _Asker:
    def __init__(self, policy: Policy, logits_of: CoreBackend | None) -> None:
        self._policy = policy
        self._core = logits_of
        self._action_ids = np.asarray(policy.contract.action.token_ids, dtype=np.int64)

    def answer(self, modality: str, sample: Sample, reference: Answer | None) -> Answer:
        policy = self._policy
        thought = _NO_THOUGHT
        if modality == "act":
            chunk = policy.act(sample.observation)
        elif modality == "think":
            whole = policy.think(sample.observation)
            assert whole.action is not None  # no deadline was given
            chunk, thought = whole.action, whole.tokens
        else:
            assert sample.sub_instruction is not None
            chunk = policy.follow(sample.observation, sample.sub_instruction)
        own = Answer(chunk.values, chunk.tokens, thought)
        return Answer(own.values, own.tokens, own.thought, self._logits(modality, sample, reference or own))

    def _logits(self, modality: str, sample: Sample, said: Answer) -> NDArray[np.float32] | None:
        """Logits of the action ids at each action position, fed with what was `said`."""
        if self._core is None or said.tokens is None:
            return None
        contract, prompt = self._policy.contract, self._policy.prompt
        text = sample.sub_instruction if modality == "follow" else sample.instruction
        assert text is not None
        fed = [contract.modalities.named()[modality], *said.thought.tolist()]
        if modality == "think":
            assert contract.thought is not None
            fed.append(contract.thought.end_id)
        first = len(fed) - 1
        fed += said.tokens.tolist()[:-1]
        layout = prompt.layout(prompt.encode(text), sample.observation.state)
        logits = self._core.logits(layout, np.asarray(fed, dtype=np.int32))
        return logits[first:][:, self._action_ids]
