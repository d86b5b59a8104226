"""Opens a bundle and trusts nothing in it: seal, size and SHA-256 of every listed file, contract that fits the model.

Layout of `NAME.hyt/`:
    manifest.json     contract, shapes, quantisation, size and SHA-256 of every other file, provenance
    manifest.sha256   the seal: SHA-256 of manifest.json, as sha256sum writes it
    manifest.sig      the signature of manifest.json (optional)
    language.gguf     the decoder, in llama.cpp's names
    vision.gguf       image encoder and projector
    head.gguf         small heads: that of a continuous action, the gate, the draft head (optional)
    tokenizer.json    Hugging Face fast tokenizer
    onnx/             vision, embed, decoder, output (.onnx) and weights.data, which they share (optional)
    report.json       what the export measured (optional)

The seal and the hashes guard against damage and stray edits; against an attacker the signature does, where it is
required.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hyt.errors import BundleError
from hyt.runtime.contract import Contract
from hyt.runtime.json_file import parse_json, read_bytes
from hyt.runtime.manifest import (
    HEAD_NAME,
    LANGUAGE_NAME,
    MANIFEST_NAME,
    ONNX_NAMES,
    REPORT_NAME,
    TOKENIZER_NAME,
    VISION_NAME,
    FileEntry,
    Manifest,
    parse_manifest,
)
from hyt.runtime.seal import check_seal
from hyt.runtime.signature import check_own_signature, check_signed_by, fingerprint, read_public_key

MANIFEST_LIMIT = 16 * 2**20
_DAMAGED = "the bundle was changed or damaged after its export: export or copy it again"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its directory, its manifest and the path of every listed file by name."""

    path: Path
    manifest: Manifest
    files: dict[str, Path]

    @property
    def contract(self) -> Contract:
        """The contract of the policy."""
        return self.manifest.contract

    @property
    def signer(self) -> str | None:
        """Fingerprint of the key that signed it, None where none did."""
        signer = self.manifest.signed_by
        return None if signer is None else fingerprint(bytes.fromhex(signer.public_key))

    @property
    def language(self) -> Path:
        """Path of the decoder's GGUF file."""
        return self.files[LANGUAGE_NAME]

    @property
    def vision(self) -> Path:
        """Path of the image encoder's GGUF file."""
        return self.files[VISION_NAME]

    @property
    def head(self) -> Path | None:
        """Path of the small heads' GGUF file, where there is one."""
        return self.files.get(HEAD_NAME)

    @property
    def tokenizer(self) -> Path:
        """Path of the tokenizer."""
        return self.files[TOKENIZER_NAME]

    @property
    def onnx(self) -> dict[str, Path]:
        """Paths of the ONNX graphs by what they compute: vision, embed, decoder, output; {} where there are none."""
        return {part: self.files[name] for part, name in ONNX_NAMES.items() if name in self.files}

    @property
    def report(self) -> Path | None:
        """Path of the export's report, where there is one."""
        return self.files.get(REPORT_NAME)


def open_bundle(path: str | os.PathLike[str], *, require_signature: str | os.PathLike[str] | None = None) -> Bundle:
    """Verify the bundle directory at `path`; raises BundleError at the first thing that is not as it should be.

    require_signature: PEM file of the Ed25519 public key that must have signed it; InputError when it is none. The
    manifest is read once: the bytes that were parsed are the bytes that signature and seal must match.
    """
    public_key = None if require_signature is None else read_public_key(require_signature)
    root = Path(path)
    if not root.is_dir():
        raise BundleError(
            str(root),
            expected="a bundle directory",
            received="a file" if root.exists() else "no such directory",
            remedy="write one with hyt-export",
        )
    manifest_path = root / MANIFEST_NAME
    if not manifest_path.exists():
        raise BundleError(
            str(root), expected=f"a bundle with {MANIFEST_NAME}", received="none", remedy="write one with hyt-export"
        )
    text = read_bytes(manifest_path, MANIFEST_LIMIT, BundleError)
    if public_key is not None:
        check_signed_by(root, text, public_key)
    # Before the seal: a newer schema or a bad field is told as such.
    manifest = parse_manifest(parse_json(text, str(manifest_path), BundleError), str(manifest_path))
    check_seal(root, text)
    check_own_signature(root, text, manifest.signed_by)
    files = {name: _verified(root, name, entry) for name, entry in sorted(manifest.files.items())}
    for stray in sorted(path for kind in ("*.gguf", "*.onnx") for path in root.rglob(kind)):
        if stray.relative_to(root).as_posix() not in files:
            raise BundleError(
                str(stray),
                expected="only files that the manifest lists",
                received=f"an unlisted {stray.suffix[1:].upper()}",
                remedy="remove it",
            )
    return Bundle(root, manifest, files)


def describe_file(path: Path) -> FileEntry:
    """Size and SHA-256 of a file, read in pieces of 1 MiB."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
            size += len(piece)
    return FileEntry(size=size, sha256=digest.hexdigest())


def _verified(root: Path, name: str, entry: FileEntry) -> Path:
    path = root / name
    try:
        # Links are refused, in a folder of the name too: a bundle is copied and signed as one directory.
        status = path.lstat()
        inside = path.resolve(strict=True) == root.resolve(strict=True) / name
    except OSError as problem:
        raise BundleError(
            str(path), expected="a file", received=problem.strerror or str(problem), remedy=_DAMAGED
        ) from None
    if not stat.S_ISREG(status.st_mode) or not inside:
        raise BundleError(
            str(path),
            expected="a regular file inside the bundle",
            received="something else",
            remedy="copy the file itself into the bundle",
        )
    if status.st_size != entry.size:
        raise BundleError(
            str(path), expected=f"{entry.size} bytes", received=f"{status.st_size} bytes", remedy=_DAMAGED
        )
    try:
        actual = describe_file(path)
    except OSError as problem:
        raise BundleError(str(path), expected="a readable file", received=problem.strerror or str(problem)) from None
    if actual != entry:
        raise BundleError(
            str(path), expected=f"SHA-256 {entry.sha256[:16]}...", received=f"{actual.sha256[:16]}...", remedy=_DAMAGED
        )
    return path
