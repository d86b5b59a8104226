"""Bundles that are not signed as they must be: each way of loading one refuses it in one line, with exit code 4."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundles import seal
from signatures import sign_again, write_keys

import hyt
from hyt.errors import BundleError, InputError
from hyt.export.exporter import export_bundle
from hyt.export.signing import SigningKey
from hyt.runtime import bundle as bundle_module
from hyt.runtime.bundle import describe_file, open_bundle
from hyt.runtime.cli import main


@dataclass(frozen=True)
class Signed:
    """A signed bundle to damage, the keys of its maker, and those of somebody else."""

    path: Path
    key: Path
    public: Path
    other_key: Path
    other_public: Path


@pytest.fixture(scope="module")
def made(tiny_checkpoint: object, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("signed")
    keys = (*write_keys(folder, "maker"), *write_keys(folder, "other"))
    path = folder / "signed.hyt"
    export_bundle(tiny_checkpoint.path, path, signing_key=SigningKey(keys[0]), threads=1)  # type: ignore[attr-defined]
    return Signed(path, *keys)


@pytest.fixture
def signed(made: Signed, tmp_path: Path) -> Signed:
    copy = Path(shutil.copytree(made.path, tmp_path / "signed.hyt"))
    return Signed(copy, made.key, made.public, made.other_key, made.other_public)


def refused(bundle: Path, public: Path | None) -> str:
    """Open a bundle, which must be refused; the line of the error."""
    with pytest.raises(BundleError) as error:
        open_bundle(bundle, require_signature=public)
    assert "\n" not in str(error.value)
    return str(error.value)


def widen(bundle: Path) -> None:
    """Let the first action dimension go further than the policy was trained to."""
    file = bundle / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"low": -0.5,', b'"low": -7.5,'))
    seal(bundle)


def test_a_signed_bundle_acts_with_and_without_a_required_key(signed: Signed) -> None:
    assert open_bundle(signed.path).signer == SigningKey(signed.key).fingerprint
    with hyt.load(signed.path, threads=1, require_signature=signed.public) as policy:
        assert policy.bundle.signer == SigningKey(signed.key).fingerprint


def test_an_unsigned_bundle_is_refused_only_where_a_signature_is_required(tiny_bundle: Path, signed: Signed) -> None:
    assert open_bundle(tiny_bundle).signer is None
    line = refused(tiny_bundle, signed.public)
    fingerprint = SigningKey(signed.key).fingerprint
    assert f"expected a signature by key {fingerprint[:16]}...; received a bundle without one" in line


def test_another_key_is_named(signed: Signed) -> None:
    line = refused(signed.path, signed.other_public)
    theirs, ours = SigningKey(signed.other_key).fingerprint, SigningKey(signed.key).fingerprint
    assert f"expected a signature by key {theirs[:16]}...; received one by key {ours[:16]}..." in line


def test_a_manifest_changed_and_sealed_again_is_refused_even_without_a_required_key(signed: Signed) -> None:
    widen(signed.path)
    assert "received one of another manifest: it was changed since" in refused(signed.path, signed.public)
    assert "manifest.sig; expected the signature of manifest.json by key" in refused(signed.path, None)


def test_what_another_signs_in_the_makers_name_is_refused(signed: Signed) -> None:
    widen(signed.path)
    sign_again(signed.path, signed.other_key)
    assert "received one of another manifest" in refused(signed.path, signed.public)
    assert "by key" in refused(signed.path, signed.other_public)  # it still names the maker
    assert "which it names; received another one" in refused(signed.path, None)


def test_what_another_signs_in_his_own_name_opens_only_where_nobody_asks_who(signed: Signed) -> None:
    file = signed.path / "manifest.json"
    data = json.loads(file.read_text())
    data["signed_by"] = SigningKey(signed.other_key).signer.model_dump()
    file.write_text(json.dumps(data))
    seal(signed.path)
    sign_again(signed.path, signed.other_key)
    assert open_bundle(signed.path).signer == SigningKey(signed.other_key).fingerprint
    assert "received one by key" in refused(signed.path, signed.public)


@pytest.mark.parametrize("name", ["language.gguf", "tokenizer.json"])
def test_a_changed_file_is_refused_by_the_hash_that_was_signed(signed: Signed, name: str) -> None:
    path = signed.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    line = refused(signed.path, signed.public)
    assert name in line
    assert "SHA-256" in line
    # Listed under its new hash, it is a changed manifest.
    file = signed.path / "manifest.json"
    data = json.loads(file.read_text())
    data["files"][name] = describe_file(path).model_dump()
    file.write_text(json.dumps(data))
    seal(signed.path)
    assert "received one of another manifest" in refused(signed.path, signed.public)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "received a bundle without one"),
        (lambda path: path.write_bytes(b""), "expected an Ed25519 signature of 64 bytes; received 0 bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:63]), "received 63 bytes"),
        (lambda path: path.write_bytes(path.read_bytes() * 2), "expected at most 64 bytes; received more"),
        (lambda path: path.write_bytes(bytes(64)), "received one of another manifest"),
        (lambda path: path.write_bytes(b"\xff" * 64), "received one of another manifest"),
        (lambda path: os.truncate(path, 2**40), "expected at most 64 bytes; received more"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "expected a regular file"),
        (lambda path: (path.unlink(), path.mkdir()), "expected a"),
        (lambda path: (path.unlink(), path.symlink_to("/nowhere")), "expected a readable file"),
    ],
    ids=["missing", "empty", "cut", "twice", "zeros", "ones", "huge", "pipe", "folder", "dangling link"],
)
def test_a_damaged_signature(signed: Signed, damage: Callable[[Path], object], said: str) -> None:
    damage(signed.path / "manifest.sig")
    assert said in refused(signed.path, signed.public)
    assert "manifest.sig" in refused(signed.path, None)


def test_a_signature_beside_a_manifest_that_names_nobody(bundle_copy: Path, signed: Signed) -> None:
    sign_again(bundle_copy, signed.key)
    assert "manifest.sig; expected a manifest that names its signer" in refused(bundle_copy, None)


@pytest.mark.parametrize(
    "signer", ["me", {"public_key": "0" * 63}, {"algorithm": "rsa", "public_key": "0" * 64}, {"public_key": 1}, []]
)
def test_a_signer_that_is_none(bundle_copy: Path, signer: object) -> None:
    file = bundle_copy / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "signed_by": signer}))
    assert "field signed_by" in refused(bundle_copy, None)


def test_the_signature_is_held_before_the_manifest_is_read(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the manifest was read")

    monkeypatch.setattr(bundle_module, "parse_manifest", fail)
    for content in (b"", b"{", b"[" * 10**5, b'{"signed_by": {"public_key": "00"}}', b'{"signed_by": 3}', b"[1]"):
        (signed.path / "manifest.json").write_bytes(content)
        assert "received one of another manifest" in refused(signed.path, signed.public)


@pytest.mark.parametrize(
    "command",
    [
        ["inspect"],
        ["bench"],
        ["drive", "--robot", "sim:metaworld/drawer-open-v3"],
        ["drive", "--robot", "serial:none.toml"],
    ],
    ids=" ".join,
)
def test_every_way_to_load_a_bundle_refuses_in_one_line(
    command: list[str], tiny_bundle: Path, signed: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command[0], str(tiny_bundle), *command[1:], "--require-signature", str(signed.public)]
    assert main(arguments) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "received a bundle without one" in err


def test_doctor_says_it_in_its_table(
    tiny_bundle: Path, signed: Signed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["doctor", str(tiny_bundle), "--require-signature", str(signed.public)]) == 1
    assert "received a bundle without one" in capsys.readouterr().out


def test_inspect_shows_who_signed(signed: Signed, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(signed.path), "--require-signature", str(signed.public)]) == 0
    shown = "".join(capsys.readouterr().out.split())  # a long line is folded
    assert f"signedbyEd25519key{SigningKey(signed.key).fingerprint}" in shown
    assert main(["inspect", str(tiny_bundle)]) == 0
    assert "signedbynobody" in "".join(capsys.readouterr().out.split())


def test_a_public_key_that_is_none_is_refused(signed: Signed, tmp_path: Path) -> None:
    _, rsa = write_keys(tmp_path, "rsa", algorithm="rsa")
    for path, said in (
        (tmp_path / "none", "received No such file"),
        (rsa, "expected an Ed25519 public key; received one of another algorithm"),
        (signed.key, "expected a public key in PEM; received a private key"),
        (signed.path / "manifest.json", "expected a public key in PEM; received something else"),
        (signed.path, "expected a re"),
    ):
        with pytest.raises(InputError) as error:
            open_bundle(signed.path, require_signature=path)
        assert said in str(error.value)
