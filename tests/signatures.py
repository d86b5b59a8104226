"""Ed25519 keys as a user makes them, by openssl.

key, public = write_keys(tmp_path, "maker")      # maker.pem and maker.pub.pem
sign_again(bundle, key)                          # openssl's signature of the manifest as it is now
"""

from __future__ import annotations

import subprocess
from pathlib import Path


def openssl(*arguments: object) -> bytes:
    """Run openssl, which must succeed; its output."""
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True).stdout


def write_keys(folder: Path, name: str, *options: object, algorithm: str = "ed25519") -> tuple[Path, Path]:
    """A fresh private key and its public key; `options` go to openssl genpkey."""
    key, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    openssl("genpkey", "-algorithm", algorithm, *options, "-out", key)
    openssl("pkey", "-in", key, "-passin", "pass:x", "-pubout", "-out", public)
    return key, public


def sign_again(bundle: Path, key: Path) -> None:
    """Sign the manifest as it is now."""
    openssl(
        "pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", bundle / "manifest.json", "-out", bundle / "manifest.sig"
    )
