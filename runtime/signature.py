"""Who made a bundle: `manifest.sig`, an Ed25519 signature of the bytes of manifest.json, which hold every file's hash.

The manifest names its signer (`signed_by`), so that name is signed too. `manifest.sig` is the signature's 64 bytes and
nothing else; openssl checks the same:

    openssl pkeyutl -verify -pubin -inkey PUBKEY -rawin -in manifest.json -sigfile manifest.sig
    openssl pkey -pubin -in PUBKEY -outform DER | sha256sum      (the key's fingerprint)

A signature that is there must hold, whoever's it is. Whose it must be says `require_signature`; without that, anyone
may sign what he changed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hyt.errors import BundleError, InputError
from hyt.runtime.json_file import parse_json, read_bytes
from hyt.runtime.manifest import MANIFEST_NAME, SIGNATURE_NAME, Signer

KEY_LIMIT = 2**16
_LENGTH = 64
# What stands before the 32 bytes of an Ed25519 key in a DER SubjectPublicKeyInfo (RFC 8410).
_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
_REMEDY = "take the bundle from its signer again"


def fingerprint(public_key: bytes) -> str:
    """SHA-256 (hex) of an Ed25519 public key of 32 bytes as SubjectPublicKeyInfo."""
    return hashlib.sha256(_DER_PREFIX + public_key).hexdigest()


def read_public_key(path: str | os.PathLike[str]) -> bytes:
    """The 32 bytes of an Ed25519 public key in a PEM file (SubjectPublicKeyInfo); raises InputError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = read_bytes(Path(path), KEY_LIMIT, InputError)
    remedy = "openssl pkey -in KEY -pubout -out PUBKEY writes it"
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        received = "a private key" if b"PRIVATE KEY-----" in text else "something else"
        raise InputError(str(path), expected="a public key in PEM", received=received, remedy=remedy) from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(str(path), expected="an Ed25519 public key", received="one of another algorithm")
    return key.public_bytes_raw()


def check_signed_by(root: Path, manifest: bytes, public_key: bytes) -> None:
    """Hold the manifest's bytes to the signature of `public_key`, before anything in them is believed.

    Raises BundleError when the bundle at `root` is not signed, signed with another key, or changed since.
    """
    path = root / SIGNATURE_NAME
    expected = f"a signature by key {_short(public_key)}"
    if not os.path.lexists(path):
        raise BundleError(str(root), expected=expected, received="a bundle without one", remedy=_REMEDY)
    if _holds(public_key, _read(path), manifest):
        return
    signer = _named_signer(manifest)
    received = "one of another manifest: it was changed since"
    if signer not in (None, public_key):
        received = f"one by key {_short(signer)}"
    raise BundleError(str(path), expected=expected, received=received, remedy=_REMEDY)


def check_own_signature(root: Path, manifest: bytes, signer: Signer | None) -> None:
    """Raise BundleError unless the bundle at `root` is either not signed at all, or by whom its manifest names."""
    path = root / SIGNATURE_NAME
    if signer is None:
        if os.path.lexists(path):
            received = f"a {MANIFEST_NAME} that names none"
            raise BundleError(str(path), expected="a manifest that names its signer", received=received, remedy=_REMEDY)
        return
    public_key = bytes.fromhex(signer.public_key)
    if not _holds(public_key, _read(path), manifest):
        raise BundleError(
            str(path),
            expected=f"the signature of {MANIFEST_NAME} by key {_short(public_key)}, which it names",
            received="another one",
            remedy=_REMEDY,
        )


def _read(path: Path) -> bytes:
    signature = read_bytes(path, _LENGTH, BundleError, _REMEDY)
    if len(signature) != _LENGTH:
        received = f"{len(signature)} bytes"
        raise BundleError(str(path), expected=f"an Ed25519 signature of {_LENGTH} bytes", received=received)
    return signature


def _holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _named_signer(manifest: bytes) -> bytes | None:
    """Who signed by the manifest's own word, to tell a wrong key from a changed manifest; None where it is no word."""
    try:
        return bytes.fromhex(Signer.model_validate(parse_json(manifest, "", BundleError)["signed_by"]).public_key)
    except (BundleError, ValueError, TypeError, KeyError):
        return None


def _short(public_key: bytes) -> str:
    return f"{fingerprint(public_key)[:16]}..."
