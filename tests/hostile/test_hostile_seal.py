"""A manifest that was changed after its export, and seals that are missing or no seals: one line, exit code 4."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bundles import seal
from refusals import refused_bundle

from hyt.runtime import bundle as bundle_module
from hyt.runtime.bundle import open_bundle
from hyt.runtime.cli import main
from hyt.runtime.manifest import Manifest

REMEDY = "export the checkpoint again"
LINE = f"{'0' * 64}  manifest.json\n".encode()


def differing(one: bytes, other: bytes) -> int:
    assert len(one) == len(other)
    return sum(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("contract/action/dimensions/0/low", -7.5),
        ("contract/action/dimensions/3/high", 9.5),
        ("contract/action/step_time", 0.9625),
        ("contract/action/token_ids/0", 70),
        ("contract/action/bin_centers/15", 0.9875),
        ("contract/state/bins", 15),
        ("contract/state/first_token_id", 33),
        ("contract/state/dimensions/2/low", -9.0),
        ("contract/state/dimensions/0/name", "w"),
        ("contract/modalities/act", 5),
        ("contract/modalities/think", 5),
        ("contract/thought/max_tokens", 92),
        ("contract/prompt/1/id", 3),
        ("contract/instructions/0", "open the drawes"),
        ("shapes/text/attention_scale", 0.9767766952966369),
        ("shapes/text/rope_theta", 90000.0),
        ("shapes/text/final_softcap", 90.0),
        ("files/vision.gguf/size", None),
        ("quantization/types/language.gguf/f32", 14),
        ("provenance/version", "0.1.1"),
        ("schema_version/minor", 2),
    ],
)
def test_one_changed_byte_that_makes_another_valid_manifest(bundle_copy: Path, path: str, value: Any) -> None:
    file = bundle_copy / "manifest.json"
    data = json.loads(file.read_text())
    place: Any = data
    *above, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in above:
        place = place[key]
    # Without a value: the neighbour that differs in the last digit alone.
    place[last] = value if value is not None else place[last] + (1 if place[last] % 10 < 9 else -1)
    forged = (Manifest.model_validate(data).model_dump_json(indent=1) + "\n").encode()
    assert differing(file.read_bytes(), forged) == 1
    file.write_bytes(forged)
    line = refused_bundle(bundle_copy)
    assert line.startswith(f"{file}; expected SHA-256 ")
    assert "of manifest.sha256; received" in line
    assert REMEDY in line


def test_a_changed_action_range_is_accepted_only_under_a_new_seal(bundle_copy: Path) -> None:
    file = bundle_copy / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"low": -0.5,', b'"low": -7.5,'))
    refused_bundle(bundle_copy)
    seal(bundle_copy)
    assert open_bundle(bundle_copy).contract.action.dimensions[0].low == -7.5


def test_every_one_of_200_random_changes_of_one_byte_is_refused(bundle_copy: Path) -> None:
    file = bundle_copy / "manifest.json"
    original, generator, by_the_seal = file.read_bytes(), random.Random(0), 0
    for _ in range(200):
        content = bytearray(original)
        place = generator.randrange(len(content))
        content[place] ^= generator.randrange(1, 256)
        file.write_bytes(content)
        by_the_seal += "of manifest.sha256" in refused_bundle(bundle_copy)
    assert by_the_seal > 0  # the others are no valid manifests


@pytest.mark.parametrize("change", [lambda text: text + b"\n", lambda text: b" " + text], ids=["end", "begin"])
def test_white_space_that_changes_no_value(bundle_copy: Path, change: Any) -> None:
    file = bundle_copy / "manifest.json"
    file.write_bytes(change(file.read_bytes()))
    assert "of manifest.sha256" in refused_bundle(bundle_copy)


def test_a_missing_seal(bundle_copy: Path) -> None:
    (bundle_copy / "manifest.sha256").unlink()
    line = refused_bundle(bundle_copy)
    assert "manifest.sha256; expected a readable file; received No such file" in line
    assert REMEDY in line


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        LINE[:-1],
        LINE[:63],
        b"G" + LINE[1:],
        b"A" * 64 + LINE[64:],
        LINE[:64] + b" *manifest.json\n",
        LINE[:64] + b"  Manifest.json\n",
        b"\xff" * len(LINE),
        b"\0" * len(LINE),
    ],
    ids=["empty", "newline", "cut", "half", "no hex", "capitals", "binary", "other name", "no UTF-8", "zeros"],
)
def test_a_seal_that_is_garbage(bundle_copy: Path, content: bytes) -> None:
    (bundle_copy / "manifest.sha256").write_bytes(content)
    line = refused_bundle(bundle_copy)
    assert "manifest.sha256; expected sha256sum's line for manifest.json; received something else" in line
    assert REMEDY in line


def test_a_seal_of_another_manifest(bundle_copy: Path) -> None:
    (bundle_copy / "manifest.sha256").write_bytes(LINE)
    line = refused_bundle(bundle_copy)
    actual = hashlib.sha256((bundle_copy / "manifest.json").read_bytes()).hexdigest()
    assert f"expected SHA-256 {'0' * 16}... of manifest.sha256; received {actual[:16]}..." in line


def test_a_seal_with_more_than_its_line(bundle_copy: Path) -> None:
    with (bundle_copy / "manifest.sha256").open("ab") as file:
        file.write(LINE)
    line = refused_bundle(bundle_copy)
    assert "manifest.sha256; expected at most 80 bytes; received more" in line
    assert REMEDY in line


def test_a_huge_seal_is_not_read_to_its_end(bundle_copy: Path) -> None:
    with (bundle_copy / "manifest.sha256").open("r+b") as file:
        file.truncate(2**40)  # sparse
    assert "at most 80 bytes" in refused_bundle(bundle_copy)


def test_a_pipe_or_a_folder_in_place_of_the_seal(bundle_copy: Path) -> None:
    (bundle_copy / "manifest.sha256").unlink()
    os.mkfifo(bundle_copy / "manifest.sha256")
    assert "manifest.sha256; expected a regular file" in refused_bundle(bundle_copy)
    (bundle_copy / "manifest.sha256").unlink()
    (bundle_copy / "manifest.sha256").mkdir()
    assert "manifest.sha256; expected a" in refused_bundle(bundle_copy)


def test_the_seal_is_held_before_any_file_is_looked_at(bundle_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a file was looked at")

    monkeypatch.setattr(bundle_module, "_verified", fail)
    (bundle_copy / "manifest.sha256").write_bytes(LINE)
    assert "of manifest.sha256" in refused_bundle(bundle_copy)


def test_the_bytes_that_were_parsed_are_the_bytes_that_are_held(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bundle_copy / "manifest.json"
    original, parse = file.read_bytes(), bundle_module.parse_manifest
    file.write_bytes(original.replace(b'"low": -0.5,', b'"low": -7.5,'))

    def parse_and_put_back(data: Any, source: str) -> Manifest:
        file.write_bytes(original)
        return parse(data, source)

    monkeypatch.setattr(bundle_module, "parse_manifest", parse_and_put_back)
    assert "of manifest.sha256" in refused_bundle(bundle_copy)


def test_hyt_run_ends_with_exit_code_4(bundle_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle_copy / "manifest.sha256").unlink()
    assert main(["inspect", str(bundle_copy)]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_sha256sum_agrees(bundle_copy: Path) -> None:
    def agrees() -> bool:
        command = ["sha256sum", "--strict", "-c", "manifest.sha256"]
        return subprocess.run(command, cwd=bundle_copy, capture_output=True, check=False).returncode == 0

    assert agrees()
    file = bundle_copy / "manifest.json"
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    assert not agrees()
