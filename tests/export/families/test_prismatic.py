"""OpenVLA and MiniVLA: the contract made of their files, and every silent error of such exports refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prismatic import BRIDGE, write_minivla, write_openvla
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from hyt.errors import CheckpointError, InputError
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import Model, load_model
from hyt.export.statement import Statement
from hyt.export.tokenizer_check import check_tokenizer
from hyt.runtime.actions import ActionTable
from hyt.runtime.manifest import check_fit
from hyt.runtime.observation import Observation, check_observation
from hyt.runtime.prompt import Prompt

STATED = Statement(step_time=0.2, units=("m", "rad"))


@pytest.fixture(scope="module")
def openvla(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_openvla(tmp_path_factory.mktemp("openvla") / "c").path


@pytest.fixture
def copy(openvla: Path, tmp_path: Path) -> Path:
    """The checkpoint with a config of its own to change."""
    for file in openvla.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text((openvla / "config.json").read_text())
    return tmp_path


def load(path: Path, statement: Statement = STATED) -> Model:
    with Checkpoint(path) as checkpoint:
        model = load_model(checkpoint, statement)
        check_tokenizer(checkpoint.tokenizer_path, model.contract)
    return model


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((path / "config.json").read_text())
    edit(config)
    (path / "config.json").write_text(json.dumps(config))


def refusal(path: Path, statement: Statement = STATED) -> str:
    with pytest.raises(CheckpointError) as error:
        load(path, statement)
    return str(error.value)


def test_actions_are_those_of_openvlas_own_formula(openvla: Path) -> None:
    action = load(openvla).contract.action
    table = ActionTable(action)
    tokens = np.random.default_rng(0).integers(31744, 32000, 7).astype(np.int32)
    tokens[0], tokens[6] = 31999, 31744
    edges = np.linspace(-1, 1, 256)
    centers = (edges[:-1] + edges[1:]) / 2
    normalised = centers[np.clip(32000 - tokens - 1, 0, 254)]
    low, high = (np.array(BRIDGE["action"][q]) for q in ("q01", "q99"))
    expected = np.where(BRIDGE["action"]["mask"], 0.5 * (normalised + 1) * (high - low) + low, normalised)
    np.testing.assert_allclose(table.values(tokens)[0], expected, rtol=1e-6, atol=1e-7)


def test_the_prompt_is_openvlas_with_29871_at_its_end(openvla: Path) -> None:
    contract = load(openvla).contract
    tokenizer = Tokenizer.from_file(str(openvla / "tokenizer.json"))
    layout = Prompt(contract, tokenizer).layout(
        Prompt(contract, tokenizer).encode("Open the DRAWER"), np.zeros(0, np.float32)
    )
    text = "In: What action should the robot take to open the drawer?\nOut:"
    assert layout.tolist() == [1, -1, *tokenizer.encode(text, add_special_tokens=False).ids]
    assert contract.modalities.named() == {"act": 29871}
    assert contract.thought is None


def test_minivlas_actions_are_its_added_tokens_and_its_prompt_a_chat(tmp_path: Path) -> None:
    path = write_minivla(tmp_path / "c").path
    contract = load(path).contract
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    assert tokenizer.id_to_token(contract.action.token_ids[0]) == "<|extra_255|>"
    assert tokenizer.id_to_token(contract.action.token_ids[255]) == "<|extra_0|>"
    assert max(contract.action.token_ids) < contract.vocab_size - 1
    layout = Prompt(contract, tokenizer).layout(Prompt(contract, tokenizer).encode("open"), np.zeros(0, np.float32))
    whole = (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhat action should the robot take to open?<|im_end|>\n<|im_start|>assistant\n"
    )
    first, *rest = tokenizer.encode(whole, add_special_tokens=False).ids
    assert [*layout.tolist(), contract.modalities.act] == [first, -1, *rest]


def test_a_special_token_in_an_instruction_is_refused(tmp_path: Path) -> None:
    path = write_minivla(tmp_path / "c").path
    prompt = Prompt(load(path).contract, Tokenizer.from_file(str(path / "tokenizer.json")))
    with pytest.raises(InputError, match=r"control token '<\|im_end\|>'"):
        prompt.encode("open<|im_end|>")


def test_what_means_what_is_told(openvla: Path) -> None:
    model = load(openvla)
    dimensions = model.contract.action.dimensions
    assert [(d.name, d.unit, d.semantics, d.relative_to) for d in dimensions] == [
        *((name, "m", "delta", "observed_state") for name in "xyz"),
        *((name, "rad", "delta", "observed_state") for name in ("roll", "pitch", "yaw")),
        ("gripper", "1", "absolute", "none"),
    ]
    assert "deltas of the end effector in the base frame (m, rad), the gripper is absolute" in model.notes[0]


@pytest.mark.parametrize(
    ("stated", "option"), [({"units": ("m", "rad")}, "--step-time"), ({"step_time": 1}, "--units")]
)
def test_what_stands_in_no_file_must_be_stated(openvla: Path, stated: dict[str, Any], option: str) -> None:
    assert f"expected {option}, which stands in no file; received none" in refusal(openvla, Statement(**stated))


def test_missing_statistics_are_refused(copy: Path) -> None:
    change(copy, lambda config: config.pop("norm_stats"))
    assert "expected norm_stats in config.json or dataset_statistics.json" in refusal(copy)


def test_statistics_beside_the_config_are_read(copy: Path) -> None:
    change(copy, lambda config: config.pop("norm_stats"))
    (copy / "dataset_statistics.json").write_text(json.dumps({"libero": BRIDGE}))
    assert load(copy).contract.name == "libero"


def test_statistics_that_contradict_each_other_are_refused(copy: Path) -> None:
    other = {"action": {**BRIDGE["action"], "q01": BRIDGE["action"]["q01"][::-1]}}
    (copy / "dataset_statistics.json").write_text(json.dumps({"bridge_orig": other}))
    assert "expected the same in config.json and dataset_statistics.json" in refusal(copy)


def test_statistics_the_wrong_way_round_are_refused(copy: Path) -> None:
    change(copy, lambda config: config["norm_stats"]["bridge_orig"]["action"].update(q99=[-1.0] * 7))
    assert "dimension 0; expected a q01 that is not above its q99; received -0.028 and -1" in refusal(copy)


def test_an_ambiguous_key_is_refused_with_the_list(copy: Path) -> None:
    change(copy, lambda config: config["norm_stats"].update(fractal=BRIDGE))
    assert "--unnorm-key with one data set of several; received none; bridge_orig, fractal" in refusal(copy)
    assert load(copy, Statement("fractal", 0.2, ("m", "rad"))).contract.name == "fractal"


def test_an_unknown_key_is_refused_with_the_list(openvla: Path) -> None:
    line = refusal(openvla, Statement("bridge", 0.2, ("m", "rad")))
    assert "expected --unnorm-key among bridge_orig; received 'bridge'" in line


def test_permuted_dimensions_are_refused(copy: Path) -> None:
    change(copy, lambda config: config["norm_stats"]["bridge_orig"]["action"].update(mask=[False] + 6 * [True]))
    assert "expected the order x, y, z, roll, pitch, yaw, gripper" in refusal(copy)


def test_permuted_dimensions_of_a_hyt_json_are_refused(copy: Path) -> None:
    data = load(copy).contract.model_dump(mode="json")
    (copy / "hyt.json").write_text(json.dumps(data))
    load(copy, Statement())
    dimensions = data["action"]["dimensions"]
    for bound in ("low", "high"):
        dimensions[0][bound], dimensions[1][bound] = dimensions[1][bound], dimensions[0][bound]
    (copy / "hyt.json").write_text(json.dumps(data))
    line = refusal(copy, Statement())
    assert "the ranges of one of bridge_orig" in line
    assert "check the order of the dimensions" in line


def test_permuted_names_of_a_hyt_json_are_refused(copy: Path) -> None:
    data = load(copy).contract.model_dump(mode="json")
    dimensions = data["action"]["dimensions"]
    dimensions[0]["name"], dimensions[1]["name"] = "y", "x"
    (copy / "hyt.json").write_text(json.dumps(data))
    line = refusal(copy, Statement())
    assert "expected the order x, y, z, roll, pitch, yaw, gripper" in line
    assert "received y, x, z, roll" in line


def test_six_dimensions_are_refused(copy: Path) -> None:
    short = {name: values[:6] for name, values in BRIDGE["action"].items()}
    change(copy, lambda config: config["norm_stats"]["bridge_orig"].update(action=short))
    assert "expected 7 dimensions (x, y, z, roll, pitch, yaw, gripper); received 6" in refusal(copy)


@pytest.mark.parametrize("padding", [0, 128])
def test_a_padded_vocabulary_that_would_shift_the_actions_is_refused(copy: Path, padding: int) -> None:
    change(copy, lambda config: config.update(pad_to_multiple_of=padding or 1))
    assert "the action tokens would be shifted" in refusal(copy)


def test_a_missing_special_id_is_refused(copy: Path) -> None:
    data = json.loads((copy / "tokenizer.json").read_text())
    data["model"]["vocab"][29871][0] = "something else"
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer.json").write_text(json.dumps(data))
    assert "expected token '\u2581' with id 29871; received none" in refusal(copy)


def test_added_tokens_that_are_not_at_the_end_are_refused(tmp_path: Path) -> None:
    path = write_minivla(tmp_path / "c").path
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.add_tokens(["<|extra_256|>"])
    tokenizer.save(str(path / "tokenizer.json"))
    assert "expected 256 added tokens <|extra_0|> ... at its end" in refusal(path)


def test_several_images_a_step_are_refused(copy: Path) -> None:
    change(copy, lambda config: config.update(image_sequence_len=2))
    assert "field image_sequence_len; expected 1, or a hyt.json that names the cameras" in refusal(copy)


def test_several_images_a_step_are_taken_as_a_hyt_json_tells_them(copy: Path) -> None:
    data = load(copy).contract.model_dump(mode="json")
    change(copy, lambda config: config.update(image_sequence_len=2))
    (copy / "hyt.json").write_text(json.dumps(data))
    assert "field cameras; expected 2 images, as image_sequence_len of config.json; received 1" in refusal(
        copy, Statement()
    )
    data["cameras"][0]["frames"] = 2
    (copy / "hyt.json").write_text(json.dumps(data))
    assert load(copy, Statement()).contract.image_count == 2


def test_another_image_size_is_refused(copy: Path) -> None:
    change(copy, lambda config: config.update(image_sizes=[35, 35]))
    assert "pos_embed'; expected shape [1, 25, 48] by config.json; received [1, 16, 48]" in refusal(copy)


def test_a_wrong_camera_count_and_a_wrong_size_are_refused_at_run_time(openvla: Path) -> None:
    model = load(openvla)
    check_fit(model.contract, model.shapes, {"primary": 16})
    image, small = np.zeros((28, 28, 3), np.uint8), np.zeros((24, 28, 3), np.uint8)
    for images, message in (
        ({"primary": image, "wrist": image}, "camera 'wrist': unknown to this policy"),
        ({}, "camera 'primary': no image"),
        ({"primary": small}, r"expected \(28, 28, 3\); received \(24, 28, 3\)"),
    ):
        with pytest.raises(InputError, match=message):
            check_observation(Observation(images), model.contract)


def test_a_timm_model_that_is_not_known_is_named(copy: Path) -> None:
    change(copy, lambda config: config["timm_model_ids"].__setitem__(1, "vit_huge"))
    assert "timm model 'vit_huge' is not among" in refusal(copy)


def test_a_missing_tensor_is_named(copy: Path) -> None:
    tensors = load_file(str(copy / "model.safetensors"))
    del tensors["vision_backbone.featurizer.blocks.1.ls1.scale_factor"]
    (copy / "model.safetensors").unlink()
    save_file(tensors, str(copy / "model.safetensors"))
    assert "blocks.1.ls1.scale_factor" in refusal(copy)


def test_a_preprocessor_config_states_the_normalisation(copy: Path) -> None:
    means, stds = [[0.4, 0.5, 0.6], [0.5, 0.5, 0.5]], [[0.2, 0.2, 0.2], [0.5, 0.5, 0.5]]
    (copy / "preprocessor_config.json").write_text(json.dumps({"means": means, "stds": stds}))
    model = load(copy)
    assert model.shapes.vision.image_mean == model.contract.cameras[0].mean == (0.4, 0.5, 0.6)
