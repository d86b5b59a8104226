"""The seal of a manifest: `manifest.sha256`, one line as sha256sum writes it, so `sha256sum -c manifest.sha256` agrees.

It guards against damage and stray edits. It does not stop an attacker, who can seal what he changed: that is what the
signature is for (`signature.py`).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from hyt.errors import BundleError
from hyt.runtime.json_file import read_bytes
from hyt.runtime.manifest import MANIFEST_NAME, SEAL_NAME

_LINE = re.compile(rb"([0-9a-f]{64})  " + re.escape(MANIFEST_NAME.encode()) + rb"\n")
_LENGTH = 64 + len(f"  {MANIFEST_NAME}\n")
_REMEDY = "export the checkpoint again"


def seal_of(manifest: bytes) -> bytes:
    """The content of the seal of a manifest's bytes."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST_NAME}\n".encode()


def check_seal(root: Path, manifest: bytes) -> None:
    """Hold the manifest's bytes, as they were read and parsed, to the seal of the bundle at `root`.

    Raises BundleError when the seal is missing, longer than its one line, no such line, or of other bytes.
    """
    path = root / SEAL_NAME
    line = _LINE.fullmatch(read_bytes(path, _LENGTH, BundleError, _REMEDY))
    if line is None:
        raise BundleError(
            str(path), expected=f"sha256sum's line for {MANIFEST_NAME}", received="something else", remedy=_REMEDY
        )
    sealed, actual = line[1].decode(), hashlib.sha256(manifest).hexdigest()
    if actual != sealed:
        raise BundleError(
            str(root / MANIFEST_NAME),
            expected=f"SHA-256 {sealed[:16]}... of {SEAL_NAME}",
            received=f"{actual[:16]}...",
            remedy=_REMEDY,
        )
