"""hyt-export --sign: openssl agrees with the signature, and only a plain Ed25519 private key signs."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from checkpoints import Checkpoint
from refusals import refused_export
from signatures import openssl, write_keys

from hyt.export.cli import main


def verified_by_openssl(bundle: Path, public: Path) -> bool:
    files = ["-rawin", "-in", bundle / "manifest.json", "-sigfile", bundle / "manifest.sig"]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, *files]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_openssl_agrees_with_the_signature_and_the_fingerprint(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, public = write_keys(tmp_path, "maker")
    _, other = write_keys(tmp_path, "other")
    bundle = tmp_path / "x.hyt"
    assert main([str(tiny_checkpoint.path), "-o", str(bundle), "--sign", str(key), "--threads", "1"]) == 0
    assert verified_by_openssl(bundle, public)
    assert not verified_by_openssl(bundle, other)
    by_openssl = hashlib.sha256(openssl("pkey", "-pubin", "-in", public, "-outform", "DER")).hexdigest()
    assert f"signed by Ed25519 key {by_openssl}" in capsys.readouterr().out
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["signed_by"]["algorithm"] == "ed25519"
    assert bytes.fromhex(manifest["signed_by"]["public_key"]) in openssl(
        "pkey", "-pubin", "-in", public, "-outform", "DER"
    )


def test_without_a_key_nothing_is_signed(tiny_bundle: Path) -> None:
    assert json.loads((tiny_bundle / "manifest.json").read_text())["signed_by"] is None
    assert not (tiny_bundle / "manifest.sig").exists()


def test_the_private_key_does_not_get_into_the_bundle(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    key, _ = write_keys(tmp_path, "maker")
    bundle = tmp_path / "x.hyt"
    assert main([str(tiny_checkpoint.path), "-o", str(bundle), "--sign", str(key), "--threads", "1"]) == 0
    secret = openssl("pkey", "-in", key, "-outform", "DER")[-32:]
    for file in bundle.iterdir():
        content = file.read_bytes()
        assert secret not in content
        assert secret.hex().encode() not in content
        assert str(key).encode() not in content


@pytest.mark.parametrize(
    ("algorithm", "options", "said"),
    [
        ("ed25519", ("-aes256", "-pass", "pass:x"), "expected a key without a password; received an encrypted one"),
        ("rsa", (), "expected an Ed25519 private key; received one of another algorithm"),
        ("ed448", (), "expected an Ed25519 private key; received one of another algorithm"),
        ("x25519", (), "expected an Ed25519 private key; received one of another algorithm"),
    ],
)
def test_another_key_is_refused_before_any_work(
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    algorithm: str,
    options: tuple[str, ...],
    said: str,
) -> None:
    key, _ = write_keys(tmp_path, "maker", *options, algorithm=algorithm)
    line = refused_export(_in(tmp_path, tiny_checkpoint), 5, capfd, "--sign", str(key))
    assert f"{key}; {said}" in line


def test_what_is_no_private_key_is_refused(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, public = write_keys(tmp_path, "maker")
    checkpoint = _in(tmp_path, tiny_checkpoint)
    for name, content, said in (
        ("public", public.read_bytes(), "expected a private key in PEM; received a public key"),
        ("empty", b"", "received something else"),
        ("binary", bytes(range(256)), "received something else"),
        ("cut", b"-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n", "received something else"),
        ("huge", b"x" * 2**17, "expected at most 65536 bytes"),
    ):
        (tmp_path / name).write_bytes(content)
        line = refused_export(checkpoint, 5, capfd, "--sign", str(tmp_path / name))
        assert said in line
        (checkpoint.parent / "output").rmdir()
    assert "received No such file" in refused_export(checkpoint, 5, capfd, "--sign", str(tmp_path / "none"))


def _in(folder: Path, checkpoint: Checkpoint) -> Path:
    """A name of the checkpoint beside which a refused export may look for an output."""
    link = folder / "checkpoint"
    link.symlink_to(checkpoint.path)
    return link
