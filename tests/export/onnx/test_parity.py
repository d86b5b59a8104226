"""The ONNX graphs of every family say in float32 what transformers says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkpoints import AWKWARD, WIDE, write_checkpoint
from families import write_paligemma2
from family_cases import FAMILIES
from family_parity import check_bundle, onnx_logits, random_images

from hyt.errors import InputError
from hyt.export.exporter import export_bundle
from hyt.export.onnx import VARIANTS
from hyt.runtime.bundle import open_bundle

# Largest difference of a logit, as a share of the largest: float32 rounding of onnxruntime's kernels.
F32_BOUND = 2e-5
INT8_ACTIVATIONS_BOUND = 0.06


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_f32_graphs_are_transformers(tmp_path: Path, name: str, variant: str) -> None:
    listed, path = FAMILIES[name], tmp_path / "x.hyt"
    case = listed.write(tmp_path / "c")
    export_bundle(case.path, path, quantization="f32", statement=listed.statement, onnx=variant, threads=1)
    assert check_bundle(case, path, listed.instruction, F32_BOUND, "onnx") > 8


@pytest.mark.parametrize("quantization", ["q4_0", "q4_k"])
def test_qdq_graphs_compute_with_the_weights_of_the_fused_ones(tmp_path: Path, quantization: str) -> None:
    write_checkpoint(tmp_path / "c", WIDE)
    logits = []
    for variant in VARIANTS:
        path = tmp_path / f"{variant}.hyt"
        report = export_bundle(tmp_path / "c", path, quantization=quantization, onnx=variant, threads=1)
        assert any(note.startswith("onnx: ") for note in report.notes) == (quantization == "q4_k")
        bundle = open_bundle(path)
        images = list(random_images(bundle, 0).values())
        logits.append(onnx_logits(bundle, images, np.array([-1, 2, 11, 12, 4], np.int32), [6, 40, 41]))
    # Activations are rounded to 8 bits in both; what DequantizeLinear leaves in float32 is not.
    assert np.abs(logits[0] - logits[1]).max() < INT8_ACTIVATIONS_BOUND * np.abs(logits[0]).max()


def test_heads_that_groupqueryattention_does_not_take_are_left_to_qdq(tmp_path: Path) -> None:
    case = write_paligemma2(tmp_path / "c", AWKWARD)
    with pytest.raises(InputError, match=r"multiple of 8.*received 20; export with --onnx-variant qdq"):
        export_bundle(case.path, tmp_path / "x.hyt", onnx="fused", threads=1)
    assert not (tmp_path / "x.hyt").exists()
    export_bundle(case.path, tmp_path / "x.hyt", quantization="f32", onnx="qdq", threads=1)
    assert check_bundle(case, tmp_path / "x.hyt", "open the drawer", F32_BOUND, "onnx") > 8
