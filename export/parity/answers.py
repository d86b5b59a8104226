"""Asks a policy for its answers in every modality, so that two policies' answers can be laid side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hyt.export.calibration.samples import Sample
from hyt.runtime.backends.base import Scoring
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.contract import Contract
from hyt.runtime.observation import check_observation
from hyt.runtime.policy import Policy
from hyt.runtime.prompt import Prompt

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
    logits_of: Scoring | None = None,
    reference: Answers | None = None,
    on_sample: Callable[[], None] = lambda: None,
) -> Answers:
    """Answers to all samples; raises InputError for a text that the policy cannot read.

    logits_of: the policy's own engine, to give logits too: at the tokens of `reference`, or without one at its own.
    `follow` is asked of the samples that have a sub-instruction.
    """
    logits = None if logits_of is None else _Logits(logits_of, policy.contract, policy.prompt)
    answers: Answers = {name: [] for name in policy.contract.modalities.named()}
    for sample in samples:
        policy.reset(instruction=sample.instruction)
        for name, given in answers.items():
            if name == "follow" and sample.sub_instruction is None:
                continue
            answer = _decode(policy, name, sample)
            said = answer if reference is None else reference[name][len(given)]
            given.append(answer if logits is None else replace(answer, logits=logits(name, sample, said)))
        on_sample()
    return answers


def ask_logits(core: CoreBackend, prompt: Prompt, samples: Sequence[Sample], reference: Answers) -> Answers:
    """The answers of `reference`, with the logits that the policy in `core` has behind them; it decodes nothing."""
    contract = core.bundle.contract
    logits = _Logits(core, contract, prompt)
    answers: Answers = {name: [] for name in reference}
    for sample in samples:
        layout = prompt.layout(prompt.encode(sample.instruction), sample.observation.state)
        core.observe(check_observation(sample.observation, contract), layout)
        for name, given in answers.items():
            if name != "follow" or sample.sub_instruction is not None:
                said = reference[name][len(given)]
                given.append(replace(said, logits=logits(name, sample, said)))
    return answers


def _decode(policy: Policy, modality: str, sample: Sample) -> Answer:
    if modality == "act":
        chunk = policy.act(sample.observation)
    elif modality == "think":
        thought = policy.think(sample.observation)
        assert thought.action is not None  # no deadline was given
        return Answer(thought.action.values, thought.action.tokens, thought.tokens)
    else:
        assert sample.sub_instruction is not None
        chunk = policy.follow(sample.observation, sample.sub_instruction)
    return Answer(chunk.values, chunk.tokens, _NO_THOUGHT)


class _Logits:
    """Logits of the action ids at each action position, fed with what was said; None of a continuous policy."""

    def __init__(self, engine: Scoring, contract: Contract, prompt: Prompt) -> None:
        self._engine = engine
        self._contract = contract
        self._prompt = prompt
        self._action_ids = np.asarray(contract.action.token_ids, dtype=np.int64)

    def __call__(self, modality: str, sample: Sample, said: Answer) -> NDArray[np.float32] | None:
        if said.tokens is None:
            return None
        text = sample.sub_instruction if modality == "follow" else sample.instruction
        assert text is not None
        fed = [self._contract.modalities.named()[modality], *said.thought.tolist()]
        if modality == "think":
            assert self._contract.thought is not None
            fed.append(self._contract.thought.end_id)
        first = len(fed) - 1
        fed += said.tokens.tolist()[:-1]
        layout = self._prompt.layout(self._prompt.encode(text), sample.observation.state)
        logits = self._engine.logits(layout, np.asarray(fed, dtype=np.int32))
        return logits[first:][:, self._action_ids]
