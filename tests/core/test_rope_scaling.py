"""What a language.gguf says of scaled positions is computed or refused, never ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from families import write_llava
from family_cases import LINEAR, LLAMA3
from numpy.typing import NDArray

from hyt.export.exporter import export_bundle
from hyt.runtime import _core


def write_language(folder: Path, scaling: dict[str, Any]) -> Path:
    """The f32 language.gguf of a llama with such positions."""
    case = write_llava(folder / "c", "clip", "llama", scaling=scaling)
    export_bundle(case.path, folder / "x.hyt", quantization="f32", threads=1)
    return folder / "x.hyt/language.gguf"


def logits(path: Path, own_kernels: bool = True) -> NDArray[np.float32]:
    session = _core.Session(
        str(path), "", threads=1, image_count=0, max_text_tokens=80, max_thought_tokens=0, action_tokens=2,
        action_token_ids=[0], thought_suppressed_ids=[], thought_end_id=0, own_kernels=own_kernels,
    )  # fmt: skip
    return session.logits(np.arange(6, 36).repeat(2).astype(np.int32), [], np.array([6, 7], np.int32))


def divisors_of(path: Path) -> NDArray[np.float32]:
    """The divisors of a file, to be changed in it."""
    tensors = gguf.GGUFReader(path, "r+").tensors
    return next(tensor.data for tensor in tensors if tensor.name == "rope_freqs.weight")


def test_no_divisor_is_ignored(tmp_path: Path) -> None:
    path = write_language(tmp_path, LLAMA3)
    sound, divisors = logits(path), divisors_of(path)
    assert divisors[0] == 1 < divisors[1] < divisors[2] == 8
    for i in range(len(divisors)):
        divisors[i] *= 2
        for own_kernels in (True, False):
            assert np.abs(logits(path, own_kernels) - sound).max() > 1e-4 * np.abs(sound).max()
        divisors[i] /= 2
    np.testing.assert_array_equal(logits(path), sound)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_divisors_that_are_no_positive_numbers_are_refused(tmp_path: Path, value: float) -> None:
    path = write_language(tmp_path, LLAMA3)
    divisors_of(path)[3] = value
    with pytest.raises(_core.CoreError, match=r"tensor rope_freqs\.weight; expected positive numbers"):
        logits(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"linear", b"longro", r"key llama\.rope\.scaling\.type; expected none or linear; received 'longro'"),
        (np.float32(3).tobytes(), np.float32(0).tobytes(), r"key llama\.rope\.scaling\.factor; expected a positive"),
    ],
)
def test_a_scaling_that_is_not_computed_is_refused(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    path = write_language(tmp_path, LINEAR)
    content = path.read_bytes()
    at = content.index(old, content.index(b"rope.scaling.type"))
    path.write_bytes(content[:at] + new + content[at + len(new) :])
    with pytest.raises(_core.CoreError, match=message):
        logits(path)
