"""A tokenizer that is of another policy than the contract is refused before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import DEFAULT, contract_data, make_contract, make_tokenizer

from hyt.errors import CheckpointError
from hyt.export.tokenizer_check import check_tokenizer
from hyt.runtime.contract import Contract


def saved_tokenizer(directory: Path, change: Callable[[dict[str, Any]], object] = lambda data: None) -> Path:
    path = directory / "tokenizer.json"
    data = json.loads(make_tokenizer(DEFAULT).to_str())
    change(data)
    path.write_text(json.dumps(data))
    return path


def test_the_tokenizer_of_the_contract_passes(tmp_path: Path) -> None:
    check_tokenizer(saved_tokenizer(tmp_path), make_contract(DEFAULT))


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(tmp_path: Path) -> None:
    path = saved_tokenizer(tmp_path, lambda data: data["model"]["vocab"].update({f"w{i}": 200 + i for i in range(20)}))
    with pytest.raises(CheckpointError, match="at most vocab_size"):
        check_tokenizer(path, make_contract(DEFAULT))


def test_action_tokens_in_the_padding_of_the_vocabulary_are_refused(tmp_path: Path) -> None:
    data = contract_data(DEFAULT)
    shifted = [id + DEFAULT.vocab_padding for id in data["action"]["token_ids"]]
    data["action"]["token_ids"] = shifted
    data["thought"]["suppressed_ids"] = sorted({*data["thought"]["suppressed_ids"], *shifted})
    with pytest.raises(CheckpointError, match=r"action\.token_ids.*expected a token with id"):
        check_tokenizer(saved_tokenizer(tmp_path), Contract.model_validate(data))


def test_two_tokens_with_one_id_are_refused(tmp_path: Path) -> None:
    path = saved_tokenizer(tmp_path, lambda data: data["model"]["vocab"].update({"again": 12}))
    with pytest.raises(CheckpointError, match="one token per id"):
        check_tokenizer(path, make_contract(DEFAULT))


def test_an_instruction_with_an_unknown_word_is_refused(tmp_path: Path) -> None:
    contract = Contract.model_validate({**contract_data(DEFAULT), "instructions": ["open the fridge"]})
    with pytest.raises(CheckpointError, match="fridge"):
        check_tokenizer(saved_tokenizer(tmp_path), contract)


def test_an_instruction_that_a_decoder_would_change_is_refused(tmp_path: Path) -> None:
    def glue(data: dict[str, Any]) -> None:
        data["decoder"] = {"type": "Fuse"}  # joins words without a space

    with pytest.raises(CheckpointError, match="openthedrawer"):
        check_tokenizer(saved_tokenizer(tmp_path, glue), make_contract(DEFAULT))


def test_what_is_no_tokenizer_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": "none"}')
    with pytest.raises(CheckpointError, match=r"a Hugging Face tokenizer\.json") as error:
        check_tokenizer(path, make_contract(DEFAULT))
    assert "\n" not in str(error.value)
