"""Checks a checkpoint's tokenizer.json against its contract before anything is written."""

from __future__ import annotations

from pathlib import Path

from hyt.errors import BundleError, CheckpointError, InputError
from hyt.runtime.contract import Contract, TokenSegment
from hyt.runtime.prompt import Prompt, read_tokenizer


def check_tokenizer(path: Path, contract: Contract) -> None:
    """Raise CheckpointError unless every id the contract names is a token, and every instruction survives a round trip.

    An id in the padding of the vocabulary (above the tokenizer's tokens) is the trace of a shifted action range.
    """
    try:
        tokenizer = read_tokenizer(path, contract)
    except BundleError as problem:
        raise CheckpointError(
            problem.subject, expected=problem.expected, received=problem.received, remedy=problem.remedy
        ) from None
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    ids = set(vocabulary.values())
    if len(ids) != len(vocabulary):
        raise CheckpointError(str(path), expected="one token per id", received="two tokens with the same id")
    for field, id in _named_ids(contract):
        if id not in ids:
            raise CheckpointError(
                f"{path}: contract field {field}",
                expected=f"a token with id {id}",
                received="none",
                remedy="the tokenizer and hyt.json are of different policies",
            )
    prompt = Prompt(contract, tokenizer)
    for text in contract.instructions:
        try:
            encoded = prompt.encode(text)
            decoded = tokenizer.decode(encoded, skip_special_tokens=False)
            # A template's own special tokens are no text that a caller may write.
            same = contract.text_segment().template != "{}" or prompt.encode(decoded) == encoded
        except InputError as problem:
            raise CheckpointError(f"{path}: {problem}") from None
        if not same:
            raise CheckpointError(
                f"{path}: instruction {text!r}",
                expected="the same tokens after decoding",
                received=f"the tokens of {decoded!r}",
            )


def _named_ids(contract: Contract) -> list[tuple[str, int]]:
    named = [(f"modalities.{name}", tag) for name, tag in contract.modalities.named().items()]
    if contract.thought is not None:
        named.append(("thought.end_id", contract.thought.end_id))
    named += [("prompt", segment.id) for segment in contract.prompt if isinstance(segment, TokenSegment)]
    named += [("action.token_ids", id) for id in contract.action.token_ids]
    if contract.state is not None:
        first = contract.state.first_token_id
        named += [("state.first_token_id", id) for id in range(first, first + contract.state.bins)]
    return named
