"""The private key that signs a bundle: Ed25519 in a PEM file, as `openssl genpkey -algorithm ed25519` writes it."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hyt.errors import InputError
from hyt.runtime.json_file import read_bytes
from hyt.runtime.manifest import Signer
from hyt.runtime.signature import KEY_LIMIT, fingerprint

_REMEDY = "openssl genpkey -algorithm ed25519 -out KEY makes one"


class SigningKey:
    """A private key that was read; raises InputError for a file that is no plain Ed25519 key in PEM (PKCS 8)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._key = _read(Path(path))
        self._public = self._key.public_key().public_bytes_raw()

    @property
    def signer(self) -> Signer:
        """How a manifest names this key."""
        return Signer(public_key=self._public.hex())

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the public key, by which a person knows it."""
        return fingerprint(self._public)

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes; the same message gives the same ones."""
        return self._key.sign(message)


def _read(path: Path) -> Ed25519PrivateKey:
    text = read_bytes(path, KEY_LIMIT, InputError)
    try:
        key = load_pem_private_key(text, password=None)
    except TypeError:  # cryptography's word for a missing password
        raise InputError(
            str(path),
            expected="a key without a password",
            received="an encrypted one",
            remedy="openssl pkey -in KEY -out PLAIN writes it without; keep that where nobody else reads it",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        received = "a public key" if b"PUBLIC KEY-----" in text else "something else"
        raise InputError(str(path), expected="a private key in PEM", received=received, remedy=_REMEDY) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            str(path), expected="an Ed25519 private key", received="one of another algorithm", remedy=_REMEDY
        )
    return key
