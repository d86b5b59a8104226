"""Adapt a vision-language checkpoint to the hybrid objective: tags, action tokens, and the contract of a dataset.

    tags <act> <think> <follow> </think>   new rows of the embedding, and of the head when it is not tied
    actions <a000> ..                      new rows, or rarely used ids that are there already
    state <s000> ..                        new rows, when the policy is to see the state

New rows start as the mean of the text embeddings. Ranges are the 1% and 99% quantiles of the dataset; what the numbers
mean to the robot is never guessed but given.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer

from hyt.dataset import Dataset
from hyt.dataset.layout import ACTION, STATE, VectorInfo
from hyt.errors import CheckpointError, InputError, OutputExistsError
from hyt.runtime.contract import (
    Action,
    ActionDimension,
    Camera,
    Contract,
    Modalities,
    State,
    StateDimension,
    Thought,
)
from hyt.training.families import family_of
from hyt.training.start import load_model
from hyt.training.storage import writing

TAGS = ("<act>", "<think>", "<follow>", "</think>")
ROWS = 64
"""The embedding is padded to a multiple of so many rows."""


@dataclass(frozen=True)
class Meaning:
    """What one dimension is: `semantics`, `frame` and `relative_to` as in the contract (actions only)."""

    name: str
    unit: str
    semantics: str = ""
    frame: str = ""
    relative_to: str = "none"


@dataclass(frozen=True)
class Adaptation:
    """All that an adaptation decides besides the checkpoint and the dataset."""

    name: str
    actions: tuple[Meaning, ...]
    state: tuple[Meaning, ...] = ()
    """Empty: the policy does not see the state."""
    bins: int = 256
    state_bins: int = 256
    reuse: bool = False
    """Take existing ids for actions in place of new rows."""
    max_text: int = 64
    max_thought: int = 128


@dataclass(frozen=True)
class _Tokens:
    """The tokenizer with all tokens added, and their ids."""

    tokenizer: Tokenizer
    before: int
    """Number of ids before anything was added."""
    tags: tuple[int, ...]
    actions: tuple[int, ...]
    first_state: int
    new: tuple[int, ...]


def adapt(checkpoint: Path, output: Path, data: Dataset, adaptation: Adaptation) -> Contract:
    """Write the adapted checkpoint to `output`, which must not be there; returns its contract.

    Raises CheckpointError, InputError or DatasetError in one line when something does not fit together.
    """
    if output.exists():
        raise OutputExistsError(f"{output}", expected="a new folder", remedy="name another or delete it")
    if not checkpoint.is_dir():
        raise CheckpointError(f"{checkpoint}", expected="a folder with a checkpoint", received="no folder")
    mean, std = _pixel_statistics(checkpoint / "preprocessor_config.json")
    model = load_model(checkpoint, "auto")
    tokens = _add_tokens(checkpoint / "tokenizer.json", model, adaptation)
    rows = model.get_input_embeddings().weight.shape[0]
    used = tokens.tokenizer.get_vocab_size(with_added_tokens=True)
    size = max(rows, -(-used // ROWS) * ROWS)
    contract = _contract(model, data, adaptation, tokens, size, mean, std)
    _add_rows(model, tokens, size)
    with writing(output) as part:
        model.save_pretrained(part, safe_serialization=True)
        tokens.tokenizer.save(str(part / "tokenizer.json"))
        shutil.copyfile(checkpoint / "preprocessor_config.json", part / "preprocessor_config.json")
        (part / "hyt.json").write_text(contract.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return contract


def _pixel_statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by which the checkpoint's images are normalised."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        mean, std = (tuple(float(v) for v in values[key]) for key in ("image_mean", "image_std"))
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise CheckpointError(
            f"{path}", expected="image_mean and image_std of the checkpoint", received=str(problem)
        ) from None
    return mean, std


def _add_tokens(path: Path, model: Any, adaptation: Adaptation) -> _Tokens:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as problem:  # the tokenizers library raises bare Exception
        raise CheckpointError(f"{path}", expected="a Hugging Face tokenizer.json", received=str(problem)) from None
    before = tokenizer.get_vocab_size(with_added_tokens=True)
    if max(tokenizer.get_vocab(with_added_tokens=True).values()) != before - 1:
        raise CheckpointError(f"{path}", expected="ids without gaps", received=f"ids above {before - 1}")
    names = {
        "tags": list(TAGS),
        "actions": [] if adaptation.reuse else [f"<a{i:03d}>" for i in range(adaptation.bins)],
        "state": [f"<s{i:03d}>" for i in range(adaptation.state_bins)] if adaptation.state else [],
    }
    texts = [text for group in names.values() for text in group]
    if known := [text for text in texts if tokenizer.token_to_id(text) is not None]:
        raise CheckpointError(
            f"{path}", expected="a checkpoint that is not adapted", received=f"the token {known[0]}", remedy="fit it"
        )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in texts])
    ids = {kind: tuple(tokenizer.token_to_id(text) for text in group) for kind, group in names.items()}
    actions = ids["actions"]
    if adaptation.reuse:
        text_tokens = tokenizer.get_vocab_size(with_added_tokens=False)
        chosen = family_of(model.config).existing_action_ids(text_tokens, adaptation.bins)
        if chosen.start < 0:
            raise CheckpointError(
                f"{path}", expected=f"ids from {chosen.start} on for the actions", received=f"{text_tokens} text tokens"
            )
        actions = tuple(chosen)
    new = tuple(range(before, before + len(texts)))
    return _Tokens(tokenizer, before, ids["tags"], actions, ids["state"][0] if ids["state"] else 0, new)


def _contract(
    model: Any,
    data: Dataset,
    adaptation: Adaptation,
    tokens: _Tokens,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Contract:
    family = family_of(model.config)
    side = model.config.vision_config.image_size
    for camera in data.info.cameras:
        if (camera.height, camera.width) != (side, side):
            raise InputError(
                f"camera {camera.name!r}",
                expected=f"images of {side} x {side}, as the checkpoint's vision encoder",
                received=f"{camera.height} x {camera.width}",
                remedy="resize the dataset's images",
            )
    actions = [
        ActionDimension.model_validate(
            {**vars(meaning), "low": low, "high": high},
        )
        for meaning, low, high in _ranges(adaptation.actions, data, ACTION, data.info.action)
    ]
    state = None
    if adaptation.state:
        ranges = _ranges(adaptation.state, data, STATE, data.info.state)
        dimensions = tuple(StateDimension(name=m.name, unit=m.unit, low=low, high=high) for m, low, high in ranges)
        state = State(dimensions=dimensions, bins=adaptation.state_bins, first_token_id=tokens.first_state)
    act, think, follow, end = tokens.tags
    added = tokens.tokenizer.get_added_tokens_decoder()
    special = {id for id, token in added.items() if token.special}
    beyond = range(tokens.tokenizer.get_vocab_size(with_added_tokens=True), size)
    cameras = [camera.name for camera in data.info.cameras]
    return Contract(
        name=adaptation.name,
        vocab_size=size,
        cameras=tuple(Camera(name=name, height=side, width=side, mean=mean, std=std) for name in cameras),  # type: ignore[arg-type]
        state=state,
        prompt=tuple(family.prompt(tokens.tokenizer, cameras, state=state is not None, max_text=adaptation.max_text)),
        modalities=Modalities(act=act, think=think, follow=follow),
        thought=Thought(
            end_id=end,
            max_tokens=adaptation.max_thought,
            suppressed_ids=tuple(sorted((special | set(tokens.actions) | set(beyond)) - {end})),
        ),
        action=Action(
            token_ids=tokens.actions,
            bin_centers=tuple(float(center) for center in np.linspace(-1, 1, adaptation.bins)),
            steps=data.info.chunk_steps,
            step_time=1 / data.info.fps,
            dimensions=tuple(actions),
        ),
        instructions=tuple(dict.fromkeys(episode.task for episode in data.episodes)),
    )


def _ranges(
    meanings: Sequence[Meaning], data: Dataset, feature: str, info: VectorInfo
) -> list[tuple[Meaning, float, float]]:
    """Each dimension with its 1% and 99% quantiles; names and units must be the dataset's."""
    if tuple(m.name for m in meanings) != info.names:
        raise InputError(
            feature,
            expected=f"the dataset's dimensions {', '.join(info.names)}",
            received=", ".join(m.name for m in meanings),
        )
    statistics = data.statistics[feature]
    ranges = []
    for index, (meaning, unit) in enumerate(zip(meanings, info.units, strict=True)):
        low, high = float(statistics.q01[index]), float(statistics.q99[index])
        if unit and unit != meaning.unit:
            raise InputError(
                f"{feature} {meaning.name!r}", expected=f"unit {unit!r}, the dataset's", received=meaning.unit
            )
        if not low < high:
            raise InputError(
                f"{feature} {meaning.name!r}", expected="values that vary", received=f"{low} for nearly all of them"
            )
        ranges.append((meaning, low, high))
    return ranges


def _add_rows(model: Any, tokens: _Tokens, size: int) -> None:
    """Resize embedding and head; new rows are the mean of those that were tokens before."""
    model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        tables = {id(table): table for table in (model.get_input_embeddings(), model.get_output_embeddings())}
        for table in {id(t.weight): t.weight for t in tables.values()}.values():
            table[tokens.before :] = table[: tokens.before].float().mean(0).to(table.dtype)
