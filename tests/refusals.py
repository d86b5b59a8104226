"""How a refusal must look: its exit code, exactly one line on standard error, nothing else said, nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyt.errors import BundleError
from hyt.export.cli import main
from hyt.runtime.bundle import open_bundle


def refused_export(checkpoint: Path, code: int, capfd: pytest.CaptureFixture[str], *options: str) -> str:
    """Run hyt-export, which must refuse with `code`; the line it says."""
    directory = checkpoint.parent / "output"
    directory.mkdir()
    actual = main([str(checkpoint), "-o", str(directory / "x.hyt"), *options])
    out, err = capfd.readouterr()
    assert actual == code, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert os.listdir(directory) == []
    return err


def refused_bundle(bundle: Path) -> str:
    """Open a bundle, which must be refused; the line of the error."""
    with pytest.raises(BundleError) as error:
        open_bundle(bundle)
    line = str(error.value)
    assert error.value.exit_code == 4
    assert "\n" not in line
    return line
