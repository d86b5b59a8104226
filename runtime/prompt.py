"""Turns an observation's state and a text into the layout of the prefix, as the contract's prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from hyt.errors import BundleError, InputError
from hyt.runtime.contract import Contract, ImageSegment, StateSegment, TokenSegment, bin_of
from hyt.runtime.json_file import parse_json, read_bytes

TOKENIZER_LIMIT = 128 * 2**20  # bytes
_STRANGE = "\N{SNOWMAN}\N{SNOWMAN} \N{SNOWMAN}"  # in no policy's instructions
_LONGEST_ADDED_TOKEN = 256  # characters: the tokenizers library reads one in quadratic time


class Prompt:
    """The prompt of one contract with its tokenizer.

    A text is refused, never cut or guessed: when it is empty, longer than the text segment, holds a word the tokenizer
    does not know (an unknown word would leave "do not open" and "please open" alike), or spells a control token (a
    modality tag, the end of a thought, an action, a special token of the tokenizer).
    """

    def __init__(self, contract: Contract, tokenizer: Tokenizer) -> None:
        self._contract = contract
        self._tokenizer = tokenizer
        self._segment = contract.text_segment()
        self._frames = {camera.name: camera.frames for camera in contract.cameras}
        added = tokenizer.get_added_tokens_decoder()
        self._control = {*contract.action.token_ids, *(id for id, token in added.items() if token.special)}
        tags = contract.modalities.named()
        if len(tags) > 1:  # a lone act is the prompt's last token, which any text may hold: OpenVLA's is a space
            self._control.update(tags.values())
        self._end = None if contract.thought is None else contract.thought.end_id
        if self._end is not None:
            self._control.add(self._end)
        self._unknown = _unknown_id(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids of an instruction or sub-instruction in its template; raises InputError for one that is refused."""
        if not isinstance(text, str) or not text.strip():
            raise InputError("instruction", expected="a text", received=repr(text))
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError("instruction", expected="Unicode text", received=repr(text), remedy="check its encoding")
        whole, begin = self._segment.fill(text)
        end = begin + len(self._segment.words(text))
        encoding = self._tokenizer.encode(whole, add_special_tokens=False)
        ids: list[int] = encoding.ids
        # What the template itself spells is not the caller's.
        own = [(whole[a:b], id) for (a, b), id in zip(encoding.offsets, ids, strict=True) if a < end and b > begin]
        if unknown := [word for word, id in own if id == self._unknown]:
            raise InputError(
                f"instruction {text!r}",
                expected="words the policy's tokenizer knows",
                received=f"unknown {', '.join(map(repr, dict.fromkeys(unknown)))}",
                remedy="hyt-run inspect lists the instructions and words the policy was trained on",
            )
        if control := [word for word, id in own if id in self._control]:
            raise InputError(
                f"instruction {text!r}",
                expected="text",
                received=f"the control token {control[0]!r}",
                remedy="leave it out: tags and action tokens are the runtime's",
            )
        if not 0 < len(ids) <= self._segment.max_tokens:
            raise InputError(
                f"instruction {text!r}",
                expected=f"1 to {self._segment.max_tokens} tokens",
                received=str(len(ids)),
                remedy="shorten it",
            )
        return ids

    def words(self) -> list[str] | None:
        """The words a text may hold, sorted; None when the tokenizer reads any text (bytes or pieces of words)."""
        if self._unknown is None or not isinstance(self._tokenizer.model, WordLevel):
            return None
        added = {token.content for token in self._tokenizer.get_added_tokens_decoder().values()}
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=False)
        words = (word for word in vocabulary if word not in added and word.isalpha())
        return sorted(words)

    def layout(self, text_ids: Sequence[int], state: NDArray[np.float32]) -> NDArray[np.int32]:
        """The prefix, int32 (positions,): token ids, and -1 - i where the tokens of image i stand.

        state: float32 (n,), finite, of the contract's length; values outside [low, high] take the bin at the edge.
        """
        layout: list[int] = []
        images = 0
        for segment in self._contract.prompt:
            if isinstance(segment, ImageSegment):
                count = self._frames[segment.camera]
                layout.extend(-1 - image for image in range(images, images + count))
                images += count
            elif isinstance(segment, TokenSegment):
                layout.append(segment.id)
            elif isinstance(segment, StateSegment):
                layout.extend(self._state_ids(state))
            else:
                layout.extend(text_ids)
        return np.asarray(layout, dtype=np.int32)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated thought tokens, without the end of the thought."""
        text: str = self._tokenizer.decode([id for id in ids if id != self._end], skip_special_tokens=False)
        return text.strip()

    def _state_ids(self, state: NDArray[np.float32]) -> list[int]:
        spec = self._contract.state
        if spec is None:
            return []
        return [
            spec.first_token_id + bin_of(float(value), dimension, spec.bins)
            for value, dimension in zip(state, spec.dimensions, strict=True)
        ]


def read_tokenizer(path: Path, contract: Contract) -> Tokenizer:
    """Read a Hugging Face fast tokenizer; raises BundleError when it is damaged or has more tokens than the policy."""
    text = read_bytes(path, TOKENIZER_LIMIT, BundleError)
    data = parse_json(text, str(path), BundleError)
    added = data.get("added_tokens") if isinstance(data, dict) else None
    for token in added if isinstance(added, list) else ():
        content = token.get("content") if isinstance(token, dict) else None
        if isinstance(content, str) and len(content) > _LONGEST_ADDED_TOKEN:
            expected = f"added tokens of at most {_LONGEST_ADDED_TOKEN} characters"
            raise BundleError(f"{path}", expected=expected, received=f"one of {len(content)}")
    try:
        tokenizer = Tokenizer.from_str(text.decode("utf-8"))
        tokenizer.encode(_STRANGE)  # some damage shows only where a word is not known
    except Exception as problem:  # the tokenizers library raises bare Exception
        raise BundleError(f"{path}", expected="a Hugging Face tokenizer.json", received=str(problem)) from None
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    if size > contract.vocab_size:
        raise BundleError(f"{path}", expected=f"at most vocab_size {contract.vocab_size} tokens", received=str(size))
    return tokenizer


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """Id that the tokenizer gives to words it does not know; None for byte-level models, which know every text."""
    model = tokenizer.model
    id: int | None = getattr(model, "unk_id", None)
    if id is None and (token := getattr(model, "unk_token", None)) is not None:
        id = tokenizer.token_to_id(token)
    return id
