"""A good bundle opens; what the manifest promises about versions and shapes is held. Damage is in tests/hostile."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bundles import seal

from hyt.errors import BundleError
from hyt.runtime.bundle import open_bundle
from hyt.runtime.manifest import SCHEMA_MAJOR, SCHEMA_MINOR, Manifest, parse_manifest


def manifest_data(bundle: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return data


def test_a_bundle_opens_with_all_its_files(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert set(bundle.files) == {"language.gguf", "vision.gguf", "tokenizer.json", "report.json"}
    assert bundle.language == tiny_bundle / "language.gguf"
    assert bundle.vision == tiny_bundle / "vision.gguf"
    assert bundle.tokenizer == tiny_bundle / "tokenizer.json"
    assert bundle.report == tiny_bundle / "report.json"
    assert bundle.contract.name == "tiny"
    assert bundle.manifest.image_tokens == {"camera0": 16}


def test_a_manifest_reads_back_as_it_was_written(tiny_bundle: Path) -> None:
    data = manifest_data(tiny_bundle)
    manifest = parse_manifest(data, "manifest.json")
    assert json.loads(manifest.model_dump_json()) == data
    assert (manifest.schema_version.major, manifest.schema_version.minor) == (SCHEMA_MAJOR, SCHEMA_MINOR)


def test_positions_count_images_state_text_tag_thought_and_action(tiny_bundle: Path) -> None:
    manifest = Manifest.model_validate(manifest_data(tiny_bundle))
    # 16 image tokens; <bos>, 4 states, 8 text, newline; the tag; 12 of thought and its end; 2 steps of 4
    assert manifest.positions() == 16 + (1 + 4 + 8 + 1) + 1 + (12 + 1) + 2 * 4


def test_a_newer_minor_schema_is_read_and_its_new_fields_ignored(tiny_bundle: Path) -> None:
    data = manifest_data(tiny_bundle)
    data["schema_version"]["minor"] = SCHEMA_MINOR + 1
    data["novelty"] = {"a": 1}
    data["shapes"]["text"]["novelty"] = 2
    assert parse_manifest(data, "manifest.json").name == "tiny"


def test_the_seal_is_no_file_that_the_manifest_lists(tiny_bundle: Path) -> None:
    digest = hashlib.sha256((tiny_bundle / "manifest.json").read_bytes()).hexdigest()
    assert (tiny_bundle / "manifest.sha256").read_bytes() == f"{digest}  manifest.json\n".encode()
    assert "manifest.sha256" not in open_bundle(tiny_bundle).manifest.files


def test_a_sealed_manifest_may_be_written_in_another_style(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "copy.hyt"))
    (copy / "manifest.json").write_text(json.dumps(manifest_data(tiny_bundle)))
    seal(copy)
    assert open_bundle(copy).manifest == open_bundle(tiny_bundle).manifest


def test_an_unknown_field_of_our_own_schema_is_refused(tiny_bundle: Path) -> None:
    data = manifest_data(tiny_bundle)
    data["shapes"]["text"]["novelty"] = 2
    with pytest.raises(BundleError, match=r"field shapes\.text; .*unknown field 'novelty'"):
        parse_manifest(data, "manifest.json")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("contract", "vocab_size"), 74, "vocab_size 74 is not the model's 73"),
        (("contract", "cameras", 0, "height"), 32, "camera 'camera0' has 32x28 pixels, the model 28x28"),
        (("contract", "cameras", 0, "mean"), [0.1, 0.1, 0.1], "mean and std are not the model's"),
        (("shapes", "text", "context_length"), 51, "take 52 positions, the model has 51"),
        (("shapes", "text", "kv_heads"), 2, "heads 3 must be a multiple of kv_heads 2"),
        (("shapes", "vision", "projection_dim"), 65, "projection_dim 65 is not text.hidden_size 64"),
        (("shapes", "text", "rope_theta"), 0, "greater than 0"),
        (("image_tokens", "camera0"), 17, "16 tokens for each frame of each camera"),
        (("image_tokens", "other"), 16, "16 tokens for each frame of each camera"),
    ],
)
def test_a_contract_that_does_not_fit_the_model_is_refused(
    tiny_bundle: Path, path: tuple[Any, ...], value: Any, message: str
) -> None:
    data = manifest_data(tiny_bundle)
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(BundleError) as error:
        parse_manifest(data, "manifest.json")
    assert message in str(error.value)
