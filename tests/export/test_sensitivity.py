"""Mixed precision measured on the policy itself: the budget is kept, more of it is better, the float weights stay."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import pytest
from checkpoints import Checkpoint, make_contract
from observed import write_observations

from hyt.errors import InputError
from hyt.export.calibration import CalibrationRequest
from hyt.export.cli import main
from hyt.export.exporter import export_bundle as export_with_threads
from hyt.export.families.base import TensorPlan
from hyt.export.gguf_writer import plainly
from hyt.export.quantization import quantize_rows
from hyt.export.quantization.mixed import Budget, Unit
from hyt.export.report import Report
from hyt.export.sensitivity import FloatWeights
from hyt.runtime import _core
from hyt.runtime.bundle import open_bundle

export_bundle = partial(export_with_threads, threads=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_observations(tmp_path_factory.mktemp("observed") / "data", make_contract())


def divergence(report: Report) -> float:
    return float(np.mean([m.divergence or 0.0 for m in report.parity[0].modalities.values()]))


def test_a_budget_is_kept_and_a_larger_one_answers_nearer_to_float(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    reports = {}
    for bits in (8.0, 12.0):
        request = CalibrationRequest(data, 3)
        report = export_bundle(
            tiny_checkpoint.path,
            tmp_path / f"{bits}.hyt",
            quantization=Budget(bits_per_weight=bits),
            calibration=request,
        )
        reports[bits] = report
        assert report.bytes <= bits / 8 * report.float32_bytes / 4
        manifest = open_bundle(tmp_path / f"{bits}.hyt").manifest
        assert manifest.quantization.requested == "mixed"
        assert manifest.provenance.command.startswith(f"hyt-export CHECKPOINT -o NAME.hyt --bits-per-weight {bits} ")
    assert reports[8.0].bytes < reports[12.0].bytes
    assert divergence(reports[12.0]) < divergence(reports[8.0])
    types = {t.tensor: t.type for t in reports[8.0].tensors}
    assert types["blk.0.attn_q.weight"] == types["blk.0.attn_k.weight"] == types["blk.0.attn_v.weight"]
    assert len({type for type in types.values() if type != "f32"}) > 1
    measured = {option.unit: option.error for option in reports[8.0].options if option.type == "q4_0"}
    assert min(measured.values()) > 0


def test_an_embedding_that_is_asked_for_is_not_chosen(tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path) -> None:
    report = export_bundle(
        tiny_checkpoint.path,
        tmp_path / "x.hyt",
        quantization=Budget(bits_per_weight=8.0),
        embedding_type="f16",
        calibration=CalibrationRequest(data, 1),
    )
    assert {t.type for t in report.tensors if t.tensor == "token_embd.weight"} == {"f16"}


def test_rounded_weights_are_those_of_the_type_and_go_back_to_what_they_were(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", quantization="f32")
    before = {name: (tmp_path / "x.hyt" / name).read_bytes() for name in ("language.gguf", "vision.gguf")}
    copy = Path(shutil.copytree(tmp_path / "x.hyt", tmp_path / "copy"))
    weights = FloatWeights(copy)
    name = "blk.1.ffn_down.weight"

    def held(folder: Path) -> np.ndarray:
        tensors = {t.name: t.data for t in gguf.GGUFReader(folder / "language.gguf").tensors}
        return np.array(tensors[name])

    rows = held(copy)
    unit = Unit(name, (TensorPlan(name, name, rows.shape, "linear", "g"),), ("q4_0",))

    def fail_with_rounded_weights() -> None:
        with weights.rounded(unit, "q4_0", plainly):
            stored, _ = quantize_rows("q4_0", rows)
            np.testing.assert_array_equal(held(copy), _core.dequantize("q4_0", stored.reshape(-1), *rows.shape))
            raise InputError("while they are rounded")

    with pytest.raises(InputError, match="while they are rounded"):
        fail_with_rounded_weights()
    assert {name: (copy / name).read_bytes() for name in before} == before


def test_a_budget_without_a_calibration_is_refused(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="budget; expected a calibration, which tells what each type costs; received"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", quantization=Budget(bytes=10**6))
    with pytest.raises(InputError, match="quantization; expected a Budget where types are mixed; received 'mixed'"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", quantization="mixed")


def test_a_budget_below_the_smallest_types_leaves_nothing(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--calibration", str(data), "--calibration-observations", "1", "--size", "1000", "--threads", "1"]
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), *options]) == InputError.exit_code
    assert "budget; expected at least " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "9", "--quantization", "q8_0"], "--quantization; expected none beside --size or --bits-per-weight"),
        (["--size", "9", "--bits-per-weight", "4"], "budget; expected either a size or bits per weight"),
        (["--quantization", "q8_0", "--method", "gptq"], "method gptq; expected quantization q4_0 or a budget"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    tiny_checkpoint: Checkpoint,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    given = ["--calibration", str(data), *options]
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), *given]) == InputError.exit_code
    assert message in capsys.readouterr().err
