"""Tests of hyt-run inspect: the manifest for a person and for a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyt.runtime.bundle import open_bundle
from hyt.runtime.cli import main
from hyt.runtime.cli.inspect import sections


def test_every_section_says_what_the_manifest_holds(tiny_bundle: Path) -> None:
    shown = {title: dict(rows) for title, rows in sections(open_bundle(tiny_bundle))}
    assert shown["policy"]["name"] == "tiny"
    assert shown["policy"]["quantisation"] == "q4_0, rounded weight by weight"
    assert shown["policy"]["instructions"] == "open the drawer; close the door slowly"
    assert {"open", "the", "drawer"} <= set(shown["policy"]["words"].split())
    assert "<act>" not in shown["policy"]["words"]
    assert "3 layers, 64 wide, 3 heads (1 of keys and values) of 32" in shown["model"]["decoder"]
    assert any(shown["model"]["INT4 on this CPU"].startswith(who) for who in ("own kernels, ", "ggml: "))
    assert shown["model"]["prefix"] == "bidirectional attention, at most 30 positions"
    assert shown["prompt"]["image"] == "camera 'camera0', uint8 (28, 28, 3) RGB"
    assert shown["state"]["gripper"] == "-1 to 1, 16 bins"
    assert shown["action"]["chunk"] == "2 steps of 62.5 ms, 16 bins"
    assert shown["action"]["x"] == "-0.5 to 0.5 m, delta relative to last setpoint, frame world"
    files = shown["files (size and SHA-256 checked)"]
    assert set(files) == {"language.gguf", "vision.gguf", "tokenizer.json", "report.json"}


def test_a_continuous_action_is_told_as_such(continuous_bundle: Path) -> None:
    shown = {title: dict(rows) for title, rows in sections(open_bundle(continuous_bundle))}
    assert shown["action"]["chunk"] == "2 steps of 62.5 ms, continuous, 8 slots in one pass"
    assert shown["model"]["tensors of head.gguf"] == "17 f32"


def test_the_table_is_printed(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_bundle)]) == 0
    assert "quantisation" in capsys.readouterr().out


def test_json_is_the_manifest(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tiny_bundle / "manifest.json").read_text())


def test_a_reader_that_leaves_early_gets_no_traceback(tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "hyt.runtime.cli", "inspect", str(tiny_bundle), "--json"]
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, b"")


def test_a_changed_byte_is_exit_code_4(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.hyt"
    copy.mkdir()
    for file in tiny_bundle.iterdir():
        data = bytearray(file.read_bytes())
        if file.name == "language.gguf":
            data[-1] ^= 1
        (copy / file.name).write_bytes(data)
    assert main(["inspect", str(copy)]) == 4
    line = capsys.readouterr().err
    assert line.startswith(f"hyt-run: {copy / 'language.gguf'}; expected SHA-256 ")
    assert line.count("\n") == 1
