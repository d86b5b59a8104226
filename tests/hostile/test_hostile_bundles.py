"""Bundles that were changed, cut or forged after their export: each is one line, a BundleError, exit code 4."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import seal
from gguf import GGUFWriter
from refusals import refused_bundle

from hyt.errors import BundleError
from hyt.runtime.bundle import MANIFEST_LIMIT, describe_file
from hyt.runtime.policy import load

FILES = ("language.gguf", "vision.gguf", "tokenizer.json", "report.json")
Data = dict[str, Any]


def change_manifest(bundle: Path, change: Callable[[Data], object]) -> None:
    path = bundle / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_changed_byte_of_any_file(bundle_copy: Path, name: str, place: float) -> None:
    path = bundle_copy / name
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 0x01
    path.write_bytes(data)
    line = refused_bundle(bundle_copy)
    assert name in line
    assert "SHA-256" in line
    assert "export or copy it again" in line


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file(bundle_copy: Path, name: str) -> None:
    path = bundle_copy / name
    path.write_bytes(path.read_bytes()[:-1])
    assert f"received {path.stat().st_size} bytes" in refused_bundle(bundle_copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    assert f"{name}; expected a file" in refused_bundle(bundle_copy)


def test_a_missing_bundle(tmp_path: Path) -> None:
    assert "no such directory" in refused_bundle(tmp_path / "nothing.hyt")


def test_a_file_in_place_of_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "x.hyt").write_text("x")
    assert "received a file" in refused_bundle(tmp_path / "x.hyt")


def test_a_directory_without_a_manifest(tmp_path: Path) -> None:
    assert "manifest.json" in refused_bundle(tmp_path)


def test_a_newer_schema_names_both_versions_and_the_remedy(bundle_copy: Path) -> None:
    change_manifest(bundle_copy, lambda data: data["schema_version"].update(major=2, minor=3))
    line = refused_bundle(bundle_copy)
    assert "expected schema 1.x" in line
    assert "received schema 2.3" in line
    assert "install a newer hyt" in line


@pytest.mark.parametrize(
    "version", [None, 1, "1.0", {"major": 1}, {"major": True, "minor": 0}, {"major": 0, "minor": 1}]
)
def test_a_schema_version_that_is_none(bundle_copy: Path, version: Any) -> None:
    change_manifest(bundle_copy, lambda data: data.update(schema_version=version))
    assert "field schema_version" in refused_bundle(bundle_copy)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "a/../../b",
        "a//b",
        "./a",
        "",
        ".hidden",
        "a\\b",
        "a\nb",
        "manifest.json",
        "manifest.sha256",
        "x" * 256,
    ],
)
def test_a_file_name_that_leaves_the_bundle(bundle_copy: Path, name: str) -> None:
    change_manifest(bundle_copy, lambda data: data["files"].update({name: data["files"]["language.gguf"]}))
    line = refused_bundle(bundle_copy)
    assert "field files" in line
    assert "no file name inside the bundle" in line


def test_a_link_to_a_file_elsewhere(bundle_copy: Path, tmp_path: Path) -> None:
    os.replace(bundle_copy / "tokenizer.json", tmp_path / "tokenizer.json")
    (bundle_copy / "tokenizer.json").symlink_to(tmp_path / "tokenizer.json")
    assert "a regular file inside the bundle" in refused_bundle(bundle_copy)


def test_a_linked_folder_that_leads_elsewhere(bundle_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "head.gguf").write_bytes(b"GGUF")
    (bundle_copy / "more").symlink_to(tmp_path / "outside")
    entry = describe_file(tmp_path / "outside" / "head.gguf").model_dump()
    change_manifest(bundle_copy, lambda data: data["files"].update({"more/head.gguf": entry}))
    seal(bundle_copy)
    assert "a regular file inside the bundle" in refused_bundle(bundle_copy)


@pytest.mark.parametrize("name", ["tokenizer.json", "language.gguf", "manifest.json"])
def test_a_pipe_in_place_of_a_file_does_not_hang(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    os.mkfifo(bundle_copy / name)
    assert "a regular file" in refused_bundle(bundle_copy)


@pytest.mark.parametrize("name", ["head.gguf", "more/head.gguf"])
def test_a_gguf_that_the_manifest_does_not_list(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).parent.mkdir(exist_ok=True)
    (bundle_copy / name).write_bytes(b"GGUF")
    assert "an unlisted GGUF" in refused_bundle(bundle_copy)


def test_a_manifest_that_does_not_list_the_weights(bundle_copy: Path) -> None:
    change_manifest(bundle_copy, lambda data: data["files"].pop("vision.gguf"))
    assert "vision.gguf is not listed" in refused_bundle(bundle_copy)


def test_a_huge_manifest_is_not_read_to_its_end(bundle_copy: Path) -> None:
    with (bundle_copy / "manifest.json").open("r+b") as file:
        file.truncate(2**40)  # sparse
    assert f"at most {MANIFEST_LIMIT} bytes" in refused_bundle(bundle_copy)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b'"\xff"',
        b"[" * 1_000_000,
        b'{"name": 1, "name": 2}',
        b'{"name": Infinity}',
        b"9" * 9999,
    ],
    ids=["empty", "cut", "null", "number", "no UTF-8", "nested", "key twice", "Infinity", "9999 digits"],
)
def test_a_manifest_that_is_garbage(bundle_copy: Path, content: bytes) -> None:
    (bundle_copy / "manifest.json").write_bytes(content)
    assert "manifest.json" in refused_bundle(bundle_copy)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), ""),
        (("family",), None),
        (("files", "language.gguf", "size"), -1),
        (("files", "language.gguf", "sha256"), "0" * 63),
        (("files", "language.gguf", "sha256"), "G" * 64),
        (("shapes", "text", "vocab_size"), 0),
        (("shapes", "text", "layers"), 2**31),
        (("shapes", "text", "head_dim"), 1.5),
        (("shapes", "vision", "image_std"), [0.5, 0.5, 0]),
        (("shapes", "vision", "patch_size"), "7x"),
        (("contract", "action", "dimensions"), []),
        (("contract", "action", "token_ids"), [1, 1]),
        (("contract", "prompt"), []),
        (("contract",), None),
        (("provenance",), {}),
        (("signature",), "trust me"),
    ],
)
def test_a_manifest_with_one_bad_field_names_it(bundle_copy: Path, path: tuple[str, ...], value: Any) -> None:
    def put(data: Data) -> None:
        place: Any = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    change_manifest(bundle_copy, put)
    line = refused_bundle(bundle_copy)
    assert f"field {path[0]}" in line


@pytest.mark.parametrize(
    "gate",
    [
        {"units": 0, "threshold": 0.5},
        {"units": 2**20, "threshold": 0.5},
        {"units": 4, "threshold": 1.5},
        {"units": 4, "threshold": "often"},
        {"units": 4},
        {"units": 4, "threshold": 0.5, "bias": 1},
        "always",
    ],
)
def test_a_gate_that_makes_no_sense(bundle_copy: Path, gate: Any) -> None:
    change_manifest(bundle_copy, lambda data: data["contract"].update(gate=gate))
    assert "field contract.gate" in refused_bundle(bundle_copy)


def test_a_gate_without_its_file(bundle_copy: Path) -> None:
    change_manifest(bundle_copy, lambda data: data["contract"].update(gate={"units": 4, "threshold": 0.5}))
    assert "contract.gate needs head.gguf, which is not listed" in refused_bundle(bundle_copy)


def write_gguf(path: Path, tensors: dict[str, Any]) -> None:
    writer = GGUFWriter(path, "hyt-head")
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gate_whose_file_was_forged_is_refused_by_the_core(bundle_copy: Path) -> None:
    """Seal and hashes agree; the weights do not fit the contract."""
    shapes = {"up.weight": (4, 64), "up.bias": (4,), "down.weight": (4,), "down.bias": (1,)}
    values = {f"gate.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for expected, units, change in (
        ("tensor gate.up.weight; expected (64, 5); received (64, 4)", 5, {}),
        ("tensor gate.down.bias; expected finite weights", 4, {"gate.down.bias": np.float32([np.inf])}),
    ):
        write_gguf(bundle_copy / "head.gguf", values | change)
        entry = describe_file(bundle_copy / "head.gguf").model_dump()

        def forge(data: Data, units: int = units, entry: Any = entry) -> None:
            data["contract"]["gate"] = {"units": units, "threshold": 0.5}
            data["files"]["head.gguf"] = entry

        change_manifest(bundle_copy, forge)
        seal(bundle_copy)
        with pytest.raises(BundleError) as caught:
            load(bundle_copy, threads=1)
        assert expected in str(caught.value)


@pytest.mark.parametrize("missing", ["low", "high"])
def test_a_contract_without_a_statistic(bundle_copy: Path, missing: str) -> None:
    change_manifest(bundle_copy, lambda data: data["contract"]["action"]["dimensions"][1].pop(missing))
    assert f"field contract.action.dimensions.1.{missing}" in refused_bundle(bundle_copy)
