"""head.gguf holds a checkpoint's action head; a continuous checkpoint that does not fit together is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from action_heads import continuous_contract_data, random_head, write_continuous_checkpoint
from bundles import seal
from checkpoints import DEFAULT
from gguf import GGUFReader
from refusals import refused_bundle, refused_export

from hyt.errors import InputError
from hyt.export.exporter import export_bundle
from hyt.runtime.bundle import open_bundle


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_continuous_checkpoint(tmp_path_factory.mktemp("continuous") / "tiny", width=64)[0].path


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A continuous checkpoint to damage."""
    return write_continuous_checkpoint(tmp_path / "tiny")[0].path


def tensors(bundle: Path) -> dict[str, str]:
    return {t.name: t.tensor_type.name for t in GGUFReader(bundle / "head.gguf").tensors}


def test_every_tensor_of_the_head_is_stored_as_it_is(tmp_path: Path) -> None:
    path, head = tmp_path / "tiny", write_continuous_checkpoint(tmp_path / "tiny")[1]
    export_bundle(path, tmp_path / "x.hyt", threads=1)
    reader = GGUFReader(tmp_path / "x.hyt" / "head.gguf")
    stored = {t.name: t.data.reshape(-1) for t in reader.tensors}
    assert set(stored) == {f"action.{name}" for name in head.tensors}
    for name, value in head.tensors.items():
        np.testing.assert_array_equal(stored[f"action.{name}"], value.numpy().reshape(-1))
    keys = {name: reader.fields[f"hyt.action.{name}"].contents() for name in ("hidden", "steps", "dimensions")}
    assert keys == {"hidden": DEFAULT.hidden, "steps": DEFAULT.steps, "dimensions": DEFAULT.dimensions}
    manifest = open_bundle(tmp_path / "x.hyt").manifest
    assert manifest.quantization.types["head.gguf"] == {"f32": len(stored)}
    assert manifest.contract.action.kind == "continuous"


@pytest.mark.parametrize("request_", ["f16", "q8_0"])
def test_its_matrices_may_be_smaller_and_the_rest_stays_float(checkpoint: Path, tmp_path: Path, request_: str) -> None:
    report = export_bundle(checkpoint, tmp_path / "x.hyt", head_quantization=request_, threads=1)
    types = tensors(tmp_path / "x.hyt")
    matrices = {name for name in types if name.endswith("linear.weight")}
    assert {types[name] for name in matrices} == {request_.upper()}
    assert {types[name] for name in set(types) - matrices} == {"F32"}
    assert report.command.endswith(f"--quantization q4_0 --head-quantization {request_}")


def test_the_report_counts_the_head_and_says_that_it_acted(checkpoint: Path, tmp_path: Path) -> None:
    report = export_bundle(checkpoint, tmp_path / "x.hyt", threads=1)
    group = next(group for group in report.groups if group.name == "action head")
    assert (group.file, group.largest_error) == ("head.gguf", 0.0)
    assert report.verification["action_values"] == 8


def test_a_head_quantisation_without_a_head_is_refused(tmp_path: Path, tiny_checkpoint: object) -> None:
    with pytest.raises(InputError, match="head quantization; expected f32, as there is no head; received q8_0"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", head_quantization="q8_0")  # type: ignore[attr-defined]


def test_an_unknown_head_quantisation_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="head quantization; expected one of f32, f16, q8_0; received 'q4_0'"):
        export_bundle(checkpoint, tmp_path / "x.hyt", head_quantization="q4_0")


def test_a_continuous_checkpoint_without_its_head_is_refused(damaged: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (damaged / "action_head.safetensors").unlink()
    line = refused_export(damaged, 3, capfd)
    assert "action_head.safetensors; expected to be there for a policy whose hyt.json says action.kind" in line


def test_a_head_beside_a_policy_with_action_tokens_is_refused(
    checkpoint_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    random_head(DEFAULT.hidden, steps=2, dimensions=4).save(checkpoint_copy / "action_head.safetensors")
    assert "expected to be left out of a policy whose hyt.json says" in refused_export(checkpoint_copy, 3, capfd)


Change = Callable[[dict[str, torch.Tensor]], object]
DAMAGE: dict[str, tuple[Change, str]] = {
    "no slots": (lambda t: t.pop("slots.weight"), "expected tensor 'slots.weight'; received none"),
    "no input": (lambda t: t.pop("input.linear.weight"), "expected tensor 'input.linear.weight'; received none"),
    "a block with a hole": (lambda t: t.pop("blocks.0.linear.weight"), "expected tensor 'blocks.0.linear.weight'"),
    "a stranger": (lambda t: t.update(gate=torch.ones(3)), "expected only the tensors of a head; received 'gate'"),
    "too few slots": (lambda t: t.update({"slots.weight": torch.ones(7, 64)}), "expected shape [8, 64] by hyt.json"),
    "a vector for a matrix": (lambda t: t.update({"input.linear.weight": torch.ones(40)}), "expected shape [40, 256]"),
    "NaN": (lambda t: t["input.linear.weight"].fill_(float("nan")), "expected finite weights; received NaN"),
    "infinity": (lambda t: t["slots.weight"].fill_(float("inf")), "expected finite weights; received NaN or infinity"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_head_that_does_not_fit_is_refused(damaged: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    change, line = DAMAGE[name]
    head = random_head(DEFAULT.hidden, steps=DEFAULT.steps, dimensions=DEFAULT.dimensions)
    change(head.tensors)
    head.save(damaged / "action_head.safetensors")
    assert line in refused_export(damaged, 3, capfd)


@pytest.mark.parametrize("field", ["token_ids", "bin_centers"])
def test_a_continuous_contract_with_tokens_is_refused(
    damaged: Path, capfd: pytest.CaptureFixture[str], field: str
) -> None:
    data = continuous_contract_data()
    data["action"][field] = [1, 2]
    (damaged / "hyt.json").write_text(json.dumps(data))
    assert "a continuous action has no token_ids and no bin_centers" in refused_export(damaged, 3, capfd)


def test_a_bundle_that_lists_no_head_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.hyt"
    export_bundle(checkpoint, bundle, threads=1)
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["head.gguf"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    seal(bundle)
    assert "head.gguf is not listed: a continuous action needs its head" in refused_bundle(bundle)
