"""Demonstrations as training sequences: every decision in memory, one sequence drawn for each data point of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from hyt.errors import CheckpointError, DatasetError
from hyt.runtime.contract import Contract, bin_of
from hyt.simulation.camera import CAMERA
from hyt.simulation.tasks import TASKS
from hyt.training.data import Dataset, open_dataset
from hyt.training.data.arm import UNITS
from hyt.training.episodes import Episode
from hyt.training.hybrid import Ids, Sequence, continuation
from hyt.training.vocabulary import BOS, NEWLINE, UNK


@dataclass(frozen=True)
class Weights:
    """Sampling and loss weights of the three modalities.

    The paper samples act, think and follow with 0.25, 0.5 and 0.25. Here act and think are trained together on one
    prefix, and `follow` is the part of the data points that are trained to follow instead; token weights balance the
    long thought against the few action tokens.
    """

    follow: float = 0.2
    act: float = 1.0
    think: float = 1.0
    thought_token: float = 0.2
    """Weight of a thought token, relative to an action token."""


class Samples:
    """All decisions of a set of episodes; indices run over decisions.

    images uint8 (N, H, W, 3); state_ids int64 (N, S); action_ids int64 (N, K).
    """

    def __init__(self, episodes: list[Episode], contract: Contract, tokenizer: Tokenizer) -> None:
        if not episodes:
            raise CheckpointError("training data", expected="at least one episode", received="none")
        self.contract = contract
        self.tasks = [e.task for e in episodes for _ in e.actions]
        self.images = np.concatenate([e.images for e in episodes])
        self.actions = np.concatenate([e.actions for e in episodes])
        self.state_ids = state_ids(contract, np.concatenate([e.states for e in episodes]))
        self.action_ids = action_ids(contract, self.actions)

        def encode(text: str) -> Ids:
            return list(tokenizer.encode(str(text)).ids)

        self.thought_ids = [encode(t) for e in episodes for t in e.thoughts]
        self.sub_instruction_ids = [encode(t) for e in episodes for t in e.sub_instructions]
        self.instruction_ids = {name: [encode(t) for t in task.instructions] for name, task in TASKS.items()}
        self._motion = tokenizer.token_to_id("move")

    def __len__(self) -> int:
        return len(self.tasks)

    def prefix(self, index: int, text: Ids) -> Ids:
        """Token ids of the prefix behind the image tokens."""
        return [BOS, *self.state_ids[index].tolist(), *text, NEWLINE]

    def thinking(self, index: int, instruction: Ids, weights: Weights) -> Sequence:
        """act and think on one prefix."""
        tags, end = self.contract.modalities, self.contract.thought.end_id
        actions = self.action_ids[index].tolist()
        thought = [*self.thought_ids[index], end]
        act = continuation(tags.act, actions, weights.act)
        think = continuation(tags.think, thought + actions, weights.think)
        return Sequence(self.prefix(index, instruction), (act, think))

    def following(self, index: int, text: Ids) -> Sequence:
        """follow on a prefix that holds a thought, or part of one, in place of the instruction."""
        actions = self.action_ids[index].tolist()
        return Sequence(self.prefix(index, text), (continuation(self.contract.modalities.follow, actions, 1.0),))

    def draw(self, index: int, weights: Weights, random: np.random.Generator) -> Sequence:
        """A random training sequence of one decision."""
        if random.random() < weights.follow:
            return self.following(index, self.follow_text(index, random))
        choices = self.instruction_ids[self.tasks[index]]
        instruction = choices[random.integers(len(choices))]
        # An unknown word now and then: real users do not know our vocabulary.
        instruction = [UNK if random.random() < 0.02 else word for word in instruction]
        return self.thinking(index, instruction, weights)

    def follow_text(self, index: int, random: np.random.Generator) -> Ids:
        """A whole thought, its sub-instruction, or only the motion: a person may say as little as `move up`."""
        choice = random.random()
        if choice < 0.3:
            return self.thought_ids[index]
        text = self.sub_instruction_ids[index]
        return text if choice < 0.8 else text[text.index(self._motion) :]


def state_ids(contract: Contract, states: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Token ids (N, S) of states (N, S) in the contract's units."""
    if contract.state is None:
        return np.zeros((len(states), 0), np.int64)
    state = contract.state
    bins = [[bin_of(float(v), d, state.bins) for v, d in zip(row, state.dimensions, strict=True)] for row in states]
    return np.array(bins, np.int64) + state.first_token_id


def action_ids(contract: Contract, actions: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Token ids (N, K) of the bins nearest to actions (N, K) in [-1, 1]."""
    centers = np.array(contract.action.bin_centers)
    nearest = np.abs(actions[:, :, None] - centers).argmin(axis=2)
    ids: npt.NDArray[np.int64] = np.array(contract.action.token_ids, np.int64)[nearest]
    return ids


def read_split(directory: Path, contract: Contract, tokenizer: Tokenizer) -> tuple[Samples, Samples]:
    """Samples for fitting and for validation of the dataset in `directory`; every 25th episode is for validation."""
    fit, held = open_dataset(directory).split()
    return Samples(_episodes(fit), contract, tokenizer), Samples(_episodes(held), contract, tokenizer)


def _episodes(dataset: Dataset) -> list[Episode]:
    """All episodes of the simulated arm's dataset; raises DatasetError for one without thoughts."""
    names = {task.instructions[0]: task.name for task in TASKS.values()}
    episodes = []
    for number, info in enumerate(dataset.episodes):
        decisions = list(dataset.select([number]))
        if info.task not in names or decisions[0].thought is None:
            raise DatasetError(
                f"episode {info.index}", expected="a task of the arm, with thoughts", received=f"{info.task!r}"
            )
        episodes.append(
            Episode(
                task=names[info.task],
                seed=info.seed,
                images=np.stack([d.images[CAMERA] for d in decisions]),
                states=np.stack([d.state for d in decisions]),
                actions=(np.concatenate([d.action for d in decisions]) / UNITS).astype(np.float32),
                thoughts=np.array([d.thought for d in decisions]),
                sub_instructions=np.array([d.sub_instruction for d in decisions]),
            )
        )
    return episodes


def shift(images: npt.NDArray[np.uint8], most: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Each image (B, H, W, 3) shifted by up to `most` pixels; the border is repeated."""
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    out = np.empty_like(images)
    for row, (dy, dx) in enumerate(random.integers(0, 2 * most + 1, (len(images), 2))):
        out[row] = padded[row, dy : dy + height, dx : dx + width]
    return out


def image_tokens(contract: Contract, patch: int) -> int:
    """Number of image tokens of all cameras, for square patches of `patch` pixels."""
    return sum((camera.height // patch) * (camera.width // patch) for camera in contract.cameras)


def token_weights(targets: torch.Tensor, weights: torch.Tensor, contract: Contract, balance: Weights) -> torch.Tensor:
    """Position weights with thought tokens (all that is no action token) weighted down."""
    actions = torch.zeros(contract.vocab_size, dtype=torch.bool)
    actions[list(contract.action.token_ids)] = True
    is_action = actions[targets.clamp(min=0)]
    return torch.where(is_action, weights, weights * balance.thought_token)
