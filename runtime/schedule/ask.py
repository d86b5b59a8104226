"""One decision: asks the policy for a chunk in the modality of the run, or behind what goes before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hyt.errors import InputError
from hyt.runtime.actions import ActionChunk
from hyt.runtime.listener import Condition
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy

Modality = Literal["act", "think", "follow", "gate"]
"""The three modalities, and `gate`: act, or think and then act, as the policy's gate says at each decision."""


@dataclass(frozen=True)
class Answer:
    """A chunk, with the text that it is conditioned on and the tokens of a thought that was written for it."""

    chunk: ActionChunk
    text: str = ""
    condition: Condition = "none"
    thought: NDArray[np.int32] | None = None


class Asker:
    """Asks one policy in one modality.

    A text that a user says to follow (`said`) goes before a held thought, and both before the modality.
    """

    def __init__(
        self,
        policy: Policy,
        modality: Modality,
        advise: Callable[[Observation], str | None],
        gate_threshold: float | None,
    ) -> None:
        self._policy, self._modality = policy, modality
        self._advise, self._threshold = advise, gate_threshold

    @property
    def thinks(self) -> bool:
        """Whether the modality may think before it acts."""
        return self._modality in ("think", "gate")

    def ask(
        self, observation: Observation, said: str | None = None, held: tuple[str, NDArray[np.int32]] | None = None
    ) -> Answer:
        """The answer to one observation; raises InputError in `follow` when nobody says what to do."""
        policy = self._policy
        if said is not None:
            return Answer(policy.follow(observation, said), said, "text")
        if held is not None:
            text, ids = held
            return Answer(policy.act_with_thought(observation, ids), text, "thought")
        if self._modality == "act":
            return Answer(policy.act(observation))
        if self._modality == "follow":
            text = self._told(observation)
            return Answer(policy.follow(observation, text), text, "text")
        if self._modality == "gate":
            chunk, thought = policy.decide(observation, self._threshold)
            return Answer(chunk) if thought is None else Answer(chunk, thought.text, thought=thought.tokens)
        thought = policy.think(observation)
        assert thought.action is not None  # no deadline was given
        return Answer(thought.action, thought.text, thought=thought.tokens)

    def _told(self, observation: Observation) -> str:
        text = self._advise(observation)
        if text is None:
            raise InputError(
                "follow", expected="a sub-instruction", received="none", remedy="give one by --instruction"
            )
        return text
