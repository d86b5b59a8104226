"""An export with a calibration: its bundle is rounded by what goes in, judged against float, and refused if too far."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from action_heads import write_continuous_checkpoint
from checkpoints import Checkpoint, make_contract
from observed import write_observations

from hyt.errors import InputError
from hyt.export.calibration import CalibrationRequest
from hyt.export.cli import main
from hyt.export.exporter import export_bundle as export_with_threads
from hyt.export.quantization import Method
from hyt.runtime.bundle import open_bundle

export_bundle = partial(export_with_threads, threads=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_observations(tmp_path_factory.mktemp("observed") / "data", make_contract())


def report_of(bundle: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((bundle / "report.json").read_text())
    return report


def test_a_float_bundle_agrees_wholly_with_the_float_policy(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", quantization="f32", calibration=CalibrationRequest(data, 6))
    report = report_of(tmp_path / "x.hyt")
    assert report["calibration"] == {"observations": 6, "held_out": 6, "episodes": 6, "tasks": 2, "seed": 0}
    (judged,) = report["parity"]
    assert (judged["backend"], judged["quantization"], judged["agreement"]) == ("core", "f32", 1.0)
    assert set(judged["modalities"]) == {"act", "think", "follow"}
    for modality in judged["modalities"].values():
        assert (modality["observations"], modality["action_tokens"]) == (6, 48)
        assert modality["logit_error_largest"] == modality["divergence"] == 0.0
        assert {error["largest"] for error in modality["actions"]} == {0.0}


def test_onnxruntime_is_judged_beside_the_core(tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path) -> None:
    request = CalibrationRequest(data, 6)
    report = export_bundle(
        tiny_checkpoint.path, tmp_path / "x.hyt", quantization="f32", onnx="fused", calibration=request
    )
    core, onnx = report.parity
    assert (core.backend, onnx.backend, onnx.agreement) == ("core", "onnx", 1.0)
    for modality in onnx.modalities.values():
        assert modality.logit_error_largest is not None
        assert 0 < modality.logit_error_largest < 1e-3  # float32 in another order


def test_gptq_answers_nearer_to_float_than_plain_rounding(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path
) -> None:
    def divergence(method: Method) -> float:
        request = CalibrationRequest(data, 12, method)
        report = export_bundle(tiny_checkpoint.path, tmp_path / f"{method}.hyt", calibration=request)
        values = [m.divergence for m in report.parity[0].modalities.values()]
        return float(np.mean([v for v in values if v is not None]))

    assert divergence("gptq") < 0.8 * divergence("plain")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gptq.hyt", "plain.hyt"]


@pytest.mark.parametrize("method", ["importance", "gptq"])
def test_manifest_and_report_tell_how_each_tensor_was_rounded(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path, method: Method
) -> None:
    export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", calibration=CalibrationRequest(data, 2, method))
    manifest = open_bundle(tmp_path / "x.hyt").manifest
    assert (manifest.quantization.method, manifest.quantization.requested) == (method, "q4_0")
    methods = {t["tensor"]: t["method"] for t in report_of(tmp_path / "x.hyt")["tensors"]}
    assert methods["blk.0.attn_k.weight"] == methods["mm.0.weight"] == method
    assert methods["token_embd.weight"] == methods["blk.0.attn_norm.weight"] == "plain"


def test_the_same_export_gives_the_same_bytes(tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path) -> None:
    for name in ("a.hyt", "b.hyt"):
        export_bundle(tiny_checkpoint.path, tmp_path / name, calibration=CalibrationRequest(data, 4, "gptq"))
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a.hyt", "b.hyt")]
    assert files[0] == files[1]


def test_statistics_that_do_not_fit_into_memory_at_once_are_gathered_in_turns(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = CalibrationRequest(data, 4, "gptq")
    export_bundle(tiny_checkpoint.path, tmp_path / "one.hyt", calibration=request)
    monkeypatch.setattr("hyt.export.reference.GRAM_BYTES", 300_000)
    export_bundle(tiny_checkpoint.path, tmp_path / "turns.hyt", calibration=request)
    for name in ("language.gguf", "vision.gguf"):
        assert (tmp_path / "one.hyt" / name).read_bytes() == (tmp_path / "turns.hyt" / name).read_bytes()


def test_too_little_agreement_fails_the_export_and_leaves_nothing(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--calibration", str(data), "--calibration-observations", "8", "--min-agreement", "1", "--threads", "1"]
    code = main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), *options])
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (4, 1)
    assert "expected at least 100.00% as the float policy's; received " in error
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_prints_the_parity(
    tiny_checkpoint: Checkpoint, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--calibration", str(data), "--calibration-observations", "4", "--min-agreement", "0", "--threads", "1"]
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), *options]) == 0
    said = capsys.readouterr().out
    assert "q4_0 in core against the float policy, on observations held out from calibration" in said
    assert "follow" in said
    manifest = open_bundle(tmp_path / "x.hyt").manifest
    assert manifest.provenance.command == (
        "hyt-export CHECKPOINT -o NAME.hyt --quantization q4_0 --calibration DATA "
        "--calibration-observations 4 --min-agreement 0.0"
    )


@pytest.mark.parametrize(
    ("options", "subject"), [(["--method", "gptq"], "--method gptq"), (["--min-agreement", "0.9"], "--min-agreement")]
)
def test_what_means_nothing_without_a_data_set_is_refused(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], subject: str
) -> None:
    assert main([str(tiny_checkpoint.path), "-o", str(tmp_path / "x.hyt"), *options]) == InputError.exit_code
    assert capsys.readouterr().err == f"hyt-export: {subject}; expected --calibration DATA with it; received none\n"


def test_a_continuous_policy_is_judged_by_its_actions_and_has_no_agreement(data: Path, tmp_path: Path) -> None:
    write_continuous_checkpoint(tmp_path / "tiny")
    report = export_bundle(tmp_path / "tiny", tmp_path / "x.hyt", calibration=CalibrationRequest(data, 4))
    act = report.parity[0].modalities["act"]
    assert (act.agreement, act.action_tokens) == (None, 0)
    assert 0 < act.actions[0].mean < 0.2
    request = CalibrationRequest(data, 4, min_agreement=0.5)
    with pytest.raises(InputError, match="min agreement; expected a policy with action tokens; received a continuous"):
        export_bundle(tmp_path / "tiny", tmp_path / "y.hyt", calibration=request)


def test_a_closed_loop_result_of_this_policy_stands_in_the_report(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt")
    identity = open_bundle(tmp_path / "x.hyt").manifest.identity()
    result = {
        "policies": {"x": {"identity": identity}, "other": {"identity": "0"}},
        "seeds": [1, 9],
        "results": [
            {"policy": "x", "mode": "act", "tasks": {}, "total": {"solved": 3, "episodes": 9}, "latency_ms": {}},
            {"policy": "other", "mode": "act", "tasks": {}, "total": {"solved": 0, "episodes": 9}},
        ],
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    report = export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", force=True, closed_loop=path)
    assert report_of(tmp_path / "x.hyt")["closed_loop"] == report.closed_loop == {
        "command": "hyt-train evaluate",
        "seeds": [1, 9],
        "results": [{"mode": "act", "tasks": {}, "total": {"solved": 3, "episodes": 9}}],
    }  # fmt: skip
    assert open_bundle(tmp_path / "x.hyt").manifest.identity() == identity
    with pytest.raises(InputError, match=f"which this export gives; received 0, {identity}"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", quantization="q8_0", force=True, closed_loop=path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"policies": {"x": 1}, "results": [], "seeds": []}', "no JSON"])
def test_a_file_that_is_no_closed_loop_result_is_refused_in_one_line(
    tiny_checkpoint: Checkpoint, tmp_path: Path, text: str
) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"result\.json"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", closed_loop=tmp_path / "result.json")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
