"""An export is repeatable byte by byte, verified before it is seen, and leaves nothing half-written when killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from checkpoints import AWKWARD, Checkpoint, Shape, write_checkpoint

from hyt.errors import BundleError, InputError, OutputExistsError
from hyt.export.checkpoint import Checkpoint as OpenCheckpoint
from hyt.export.exporter import export_bundle as export_with_threads
from hyt.export.quantization import REQUESTS
from hyt.export.verify import verify_bundle
from hyt.runtime.bundle import open_bundle

# One thread: tiny models gain nothing from two, and threads that wait for each other suffer on a busy machine.
export_bundle = partial(export_with_threads, threads=1)
# Large enough that an export lasts long enough to be killed in the middle.
SLOW = Shape(hidden=512, intermediate=1024, layers=4, heads=8, kv_heads=4, head_dim=64)


def contents(bundle: Path) -> dict[str, bytes]:
    return {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


@pytest.mark.parametrize("quantization", REQUESTS)
def test_every_quantisation_gives_a_bundle_that_opens(
    tiny_checkpoint: Checkpoint, tmp_path: Path, quantization: str
) -> None:
    export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", quantization=quantization)
    manifest = open_bundle(tmp_path / "x.hyt").manifest
    assert manifest.quantization.requested == quantization
    assert manifest.contract == tiny_checkpoint.contract


def test_the_same_checkpoint_gives_the_same_bytes_whatever_name_and_threads(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(path: Path, threads: int, backends: Sequence[str]) -> object:
        return verify_bundle(path, 1, backends)

    monkeypatch.setattr("hyt.export.exporter.verify_bundle", verify)
    export_with_threads(tiny_checkpoint.path, tmp_path / "a.hyt", onnx="fused", threads=1)
    time.sleep(1.1)  # a time stamp in seconds would differ
    export_with_threads(tiny_checkpoint.path, tmp_path / "b.hyt", onnx="fused", threads=2)
    assert contents(tmp_path / "a.hyt") == contents(tmp_path / "b.hyt")
    assert "manifest.sha256" in contents(tmp_path / "a.hyt")


def test_shards_and_names_do_not_change_the_weights(tmp_path: Path) -> None:
    one = write_checkpoint(tmp_path / "one", AWKWARD)
    other = write_checkpoint(tmp_path / "other", AWKWARD, shards=3, names="current")
    for checkpoint in (one, other):
        export_bundle(checkpoint.path, checkpoint.path.with_suffix(".hyt"))
    for name in ("language.gguf", "vision.gguf", "tokenizer.json"):
        assert (tmp_path / "one.hyt" / name).read_bytes() == (tmp_path / "other.hyt" / name).read_bytes()


def test_the_manifest_tells_where_the_bundle_comes_from(tiny_checkpoint: Checkpoint, tiny_bundle: Path) -> None:
    provenance = open_bundle(tiny_bundle).manifest.provenance
    with OpenCheckpoint(tiny_checkpoint.path) as opened:
        assert provenance.checkpoint_sha256 == opened.sha256()
    assert provenance.tool == "hyt-export"
    assert provenance.command == "hyt-export CHECKPOINT -o NAME.hyt --quantization q4_0"


def test_the_report_lists_every_fallback_with_its_reason(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "c", AWKWARD)
    export_bundle(checkpoint.path, tmp_path / "x.hyt")
    report = json.loads((tmp_path / "x.hyt" / "report.json").read_text())
    fallback = next(item for item in report["fallbacks"] if item["tensor"] == "blk.0.ffn_down.weight")
    assert (fallback["wanted"], fallback["type"]) == ("q4_0", "f32")
    assert fallback["reason"] == "rows of 90 do not divide by 32"
    assert report["verification"]["action_tokens"] == 8


def test_the_report_adds_up_to_the_model(tiny_checkpoint: Checkpoint, tiny_bundle: Path) -> None:
    report = json.loads((tiny_bundle / "report.json").read_text())
    parameters = sum(value.numel() for value in tiny_checkpoint.model.parameters())
    assert report["float32_bytes"] == 4 * parameters
    assert sum(group["bytes"] for group in report["groups"]) == report["bytes"] < report["float32_bytes"] / 4
    errors = {group["name"]: group["relative_rms_error"] for group in report["groups"]}
    assert 0.06 < errors["text attention"] < 0.09
    assert errors["text norms"] == 0.0


def test_an_existing_output_is_refused_before_any_work(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="--force"):
        export_bundle(tmp_path / "no checkpoint at all", tiny_bundle)


def test_an_unknown_quantisation_is_refused(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"quantization; expected one of q4_0, .*, f32; received 'q3'"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", quantization="q3")


def test_an_output_type_for_a_tied_model_is_refused(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="output type; expected none: the embedding is the output matrix too"):
        export_bundle(tiny_checkpoint.path, tmp_path / "x.hyt", output_type="q8_0")


def test_force_replaces_the_bundle(tiny_checkpoint: Checkpoint, bundle_copy: Path) -> None:
    export_bundle(tiny_checkpoint.path, bundle_copy, quantization="f16", force=True)
    assert open_bundle(bundle_copy).manifest.quantization.requested == "f16"
    assert [path.name for path in bundle_copy.parent.glob(".*")] == []


def test_a_bundle_that_does_not_act_is_never_seen_and_the_old_one_stays(
    tiny_checkpoint: Checkpoint, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, threads: int, backends: Sequence[str]) -> None:
        assert open_bundle(path).manifest.name == "tiny"
        raise BundleError("verification failed")

    before = contents(bundle_copy)
    monkeypatch.setattr("hyt.export.exporter.verify_bundle", fail)
    for target, force in ((bundle_copy.with_name("new.hyt"), False), (bundle_copy, True)):
        with pytest.raises(BundleError):
            export_bundle(tiny_checkpoint.path, target, quantization="f32", force=force)
    assert contents(bundle_copy) == before
    assert os.listdir(bundle_copy.parent) == [bundle_copy.name]


def begin_export(checkpoint: Path, target: Path, *options: str) -> subprocess.Popen[str]:
    """Start hyt-export and stop it as soon as it has written some weights."""
    command = [sys.executable, "-m", "hyt.export.cli", str(checkpoint), "-o", str(target), "--quantization", "q4_k"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 0 for path in target.parent.glob(".*.partial-*/language.gguf")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None
    return process


@pytest.fixture(scope="module")
def slow_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("slow") / "checkpoint", SLOW).path


def test_kill_9_in_the_middle_leaves_no_bundle_and_the_next_export_cleans_up(
    slow_checkpoint: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    target = tmp_path / "x.hyt"
    process = begin_export(slow_checkpoint, target)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    export_bundle(tiny_checkpoint.path, target)
    assert [path.name for path in tmp_path.iterdir()] == ["x.hyt"]
    open_bundle(target)


def test_kill_9_while_replacing_leaves_the_old_bundle(slow_checkpoint: Path, bundle_copy: Path) -> None:
    before = contents(bundle_copy)
    process = begin_export(slow_checkpoint, bundle_copy, "--force")
    process.kill()
    process.communicate()
    assert contents(bundle_copy) == before
    open_bundle(bundle_copy)


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM"), (signal.SIGHUP, "ended by SIGHUP")],
)
def test_a_signal_says_so_in_one_line_with_128_and_its_number_and_leaves_nothing(
    slow_checkpoint: Path, tmp_path: Path, number: signal.Signals, said: str
) -> None:
    process = begin_export(slow_checkpoint, tmp_path / "x.hyt")
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + number, "", f"hyt-export: {said}; nothing was written\n")
    assert list(tmp_path.iterdir()) == []
