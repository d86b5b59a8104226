"""Checkpoints that are none, or whose parts do not belong together: one line, exit code 3, nothing written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import DEFAULT, Shape, contract_data, make_tokenizer
from refusals import refused_export

Data = dict[str, Any]


def refused_contract(path: Path, capfd: pytest.CaptureFixture[str], change: Callable[[Data], object]) -> str:
    data = contract_data(DEFAULT)
    change(data)
    (path / "hyt.json").write_text(json.dumps(data))
    return refused_export(path, 3, capfd)


def test_a_directory_that_does_not_exist(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no such directory" in refused_export(tmp_path / "nothing", 3, capfd)


def test_a_file_in_place_of_a_directory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert "received a file" in refused_export(tmp_path / "file", 3, capfd)


def test_a_directory_that_is_no_checkpoint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    assert "expected config.json in it" in refused_export(tmp_path / "photos", 3, capfd)


def test_a_checkpoint_of_another_kind_has_no_contract(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (checkpoint_copy / "hyt.json").unlink()
    assert "expected hyt.json in it: the config of this family says nothing of actions" in refused_export(
        checkpoint_copy, 3, capfd
    )


@pytest.mark.parametrize("name", ["config.json", "hyt.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'"\xff"', b"[" * 100_000, b'{"a": 1, "a": 2}', b'{"a": NaN}'],
    ids=["empty", "cut", "null", "list", "no UTF-8", "nested", "key twice", "NaN"],
)
def test_a_json_file_that_is_garbage(
    checkpoint_copy: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (checkpoint_copy / name).write_bytes(content)
    assert name in refused_export(checkpoint_copy, 3, capfd)


@pytest.mark.parametrize("name", ["config.json", "hyt.json", "tokenizer.json", "model.safetensors"])
def test_a_pipe_in_place_of_a_file_does_not_hang(
    checkpoint_copy: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    (checkpoint_copy / name).unlink()
    os.mkfifo(checkpoint_copy / name)
    refused_export(checkpoint_copy, 3, capfd)


@pytest.mark.parametrize("missing", ["low", "high", "unit", "semantics"])
def test_a_missing_statistic_is_named_with_its_dimension(
    checkpoint_copy: Path, capfd: pytest.CaptureFixture[str], missing: str
) -> None:
    line = refused_contract(checkpoint_copy, capfd, lambda data: data["action"]["dimensions"][2].pop(missing))
    assert f"field action.dimensions.2.{missing}" in line


def test_a_statistic_that_is_no_number(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = contract_data(DEFAULT)
    data["action"]["dimensions"][0]["low"] = "PLACE"
    (checkpoint_copy / "hyt.json").write_text(json.dumps(data).replace('"PLACE"', "-1e999"))
    assert "action.dimensions.0.low" in refused_export(checkpoint_copy, 3, capfd)


def test_an_action_dimension_without_range(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = refused_contract(checkpoint_copy, capfd, lambda data: data["action"]["dimensions"][3].update(low=0.6))
    assert "'gripper': low must not be above high" in line


def test_two_action_bins_with_one_id(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def repeat(data: Data) -> None:
        data["action"]["token_ids"][3] = data["action"]["token_ids"][2]

    assert "token_ids must differ" in refused_contract(checkpoint_copy, capfd, repeat)


def test_two_modalities_with_one_tag(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = refused_contract(checkpoint_copy, capfd, lambda data: data["modalities"].update(think=6))
    assert "must differ from each other" in line


def test_a_vocabulary_of_another_size_than_the_model(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = refused_contract(checkpoint_copy, capfd, lambda data: data.update(vocab_size=DEFAULT.vocab_size + 64))
    assert f"contract.vocab_size {DEFAULT.vocab_size + 64} is not the model's {DEFAULT.vocab_size}" in line


def test_cameras_of_another_size_than_the_model(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = refused_contract(checkpoint_copy, capfd, lambda data: data["cameras"][0].update(width=224))
    assert "28x224 pixels" in line


def test_a_thought_longer_than_the_context(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = refused_contract(checkpoint_copy, capfd, lambda data: data["thought"].update(max_tokens=4000))
    assert "positions" in line


def test_a_contract_of_a_newer_version(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "field version" in refused_contract(checkpoint_copy, capfd, lambda data: data.update(version=2))


def test_the_tokenizer_of_another_policy(checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_tokenizer(Shape(state_bins=8, action_bins=8)).save(str(checkpoint_copy / "tokenizer.json"))
    line = refused_export(checkpoint_copy, 3, capfd)
    assert "tokenizer.json" in line
    assert "different policies" in line


def test_a_name_that_would_steer_the_terminal_is_harmless(
    checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refused_contract(checkpoint_copy, capfd, lambda data: data.update({"x\n\x1b[2Jhyt-export: all is well": 1}))
    assert "hyt.json" in line
    assert "\x1b" not in line
