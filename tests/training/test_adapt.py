"""Published architectures are given HyT's tokens and a contract, and learn: in full, and by low-rank adapters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from training_data import random_decisions, write_dataset
from vlm_checkpoints import ARCHITECTURES, TOKENS, write_vlm

from hyt.dataset import open_dataset
from hyt.errors import CheckpointError, HytError, InputError, OutputExistsError
from hyt.runtime.contract import read_contract
from hyt.training.adapt import Adaptation, Meaning, adapt
from hyt.training.batches import normalised_images
from hyt.training.cli import main
from hyt.training.fit import fit
from hyt.training.hybrid import Composer, FollowShares, Weights
from hyt.training.lora import control_ids
from hyt.training.loss import SmoothedCrossEntropy
from hyt.training.network import HybridNetwork
from hyt.training.packing import IMAGE_SLOT, pack
from hyt.training.recipe import Recipe
from hyt.training.samples import Samples
from hyt.training.start import checkpoint_start

MOTION = ("delta", "world", "last_setpoint")
ADAPTATION = Adaptation(
    name="toy",
    actions=(*(Meaning(axis, "m", *MOTION) for axis in "xyz"), Meaning("gripper", "1", "absolute", "gripper")),
    bins=16,
)
STATE = (*(Meaning(f"hand_{axis}", "m") for axis in "xyz"), Meaning("gripper_opening", "1"))
RECIPE = Recipe(steps=30, batch=4, learning_rate=1e-2, weights=Weights(thought_token=1.0))
TOLERANCE = 2e-5  # float32 sums in another order


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), episodes=4)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def adapted(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each architecture, adapted, in `adapted` beside `original`; PaliGemma 2 sees the state."""
    folder = tmp_path_factory.mktemp(request.param)
    write_vlm(folder / "original", request.param)
    state = STATE if request.param == "paligemma2" else ()
    adapt(folder / "original", folder / "adapted", open_dataset(data), replace(ADAPTATION, state=state, state_bins=8))
    return folder / "adapted"


def run(data: Path, output: Path, checkpoint: Path, recipe: Recipe, **options: Any) -> list[float]:
    reports: list[dict[str, Any]] = []
    options = {"save_every": recipe.steps, "report": reports.append} | options
    fit(open_dataset(data), output, checkpoint_start(checkpoint), recipe, **options)
    return [r["loss"] for r in reports if "loss" in r]


def test_new_rows_are_the_mean_and_old_ones_stay(adapted: Path) -> None:
    before, after = (checkpoint_model(path) for path in (adapted.parent / "original", adapted))
    for table in ("get_input_embeddings", "get_output_embeddings"):
        old, new = (getattr(model, table)().weight for model in (before, after))
        torch.testing.assert_close(new[:TOKENS], old[:TOKENS])
        torch.testing.assert_close(new[TOKENS:], old[:TOKENS].mean(0).expand_as(new[TOKENS:]))
        assert len(new) == read_contract(adapted / "hyt.json").vocab_size


def checkpoint_model(path: Path) -> Any:
    from hyt.training.start import load_model

    return load_model(path)


def test_the_contract_holds_the_datasets_ranges_and_the_given_meaning(adapted: Path, data: Path) -> None:
    contract = read_contract(adapted / "hyt.json")
    statistics = open_dataset(data).statistics["action"]
    for index, dimension in enumerate(contract.action.dimensions):
        assert (dimension.low, dimension.high) == (statistics.q01[index], statistics.q99[index])
    assert [d.semantics for d in contract.action.dimensions] == ["delta"] * 3 + ["absolute"]
    assert contract.action.step_time == 1 / 16
    assert contract.cameras[0].mean == (0.48, 0.46, 0.41)
    tokenizer = Tokenizer.from_file(str(adapted / "tokenizer.json"))
    assert tokenizer.token_to_id("<think>") == contract.modalities.think == TOKENS + 1
    assert tokenizer.id_to_token(contract.action.token_ids[3]) == "<a003>"
    assert tokenizer.token_to_id("<image>") in contract.thought.suppressed_ids
    assert tokenizer.encode("a").ids[0] not in contract.thought.suppressed_ids


def test_the_loss_is_that_of_transformers_token_by_token(adapted: Path) -> None:
    """PaliGemma decodes behind a prefix that it sees in both directions, LLaVA is causal throughout."""
    start = checkpoint_start(adapted)
    contract, model = start.contract, start.model.eval()
    samples = Samples(random_decisions(3, 1), contract, start.tokenizer)
    example = samples[0]
    sequence = Composer(contract, 4, Weights(thought_token=0.3), FollowShares()).acting(example, "think")
    branch = sequence.branches[0]
    pixels = normalised_images(samples, example.images[None])
    prefix = [model.config.image_token_index if id == IMAGE_SLOT else id for id in sequence.prefix]
    assert prefix.count(model.config.image_token_index) == 4
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    total = 0.0
    with torch.no_grad():
        out = model(input_ids=torch.tensor([prefix]), pixel_values=pixels[:, 0], use_cache=True)
        for place, (token, target, weight) in enumerate(
            zip(branch.inputs, branch.targets, branch.weights, strict=True), start=len(prefix)
        ):
            out = model(
                input_ids=torch.tensor([[token]]),
                past_key_values=out.past_key_values,
                use_cache=True,
                cache_position=torch.tensor([place]),
            )
            logits = out.logits[0, -1].double().numpy()
            logits = cap * np.tanh(logits / cap) if cap else logits
            total -= weight * (logits[target] - np.log(np.exp(logits).sum()))
    network = HybridNetwork(model, SmoothedCrossEntropy([], 0.0)).train()
    with torch.no_grad():
        assert float(network(*pack([sequence], pixels))) == pytest.approx(total, rel=TOLERANCE)


def test_training_all_of_it_lowers_the_loss_and_goes_on_where_it_was_stopped(
    adapted: Path, data: Path, tmp_path: Path
) -> None:
    losses = run(data, tmp_path / "fit", adapted, RECIPE)
    assert losses[-1] < 0.8 * losses[0]
    run(data, tmp_path / "halves", adapted, replace(RECIPE, steps=4))
    longer = run(data, tmp_path / "halves", adapted, replace(RECIPE, steps=6))
    assert len(longer) == 2
    assert checkpoint_start(tmp_path / "halves").contract == read_contract(adapted / "hyt.json")


def test_adapters_lower_the_loss_are_resumed_and_end_merged(adapted: Path, data: Path, tmp_path: Path) -> None:
    acting = Weights(1, 0, 0)  # the rows of words stay as they are, so only action tokens can be learned
    recipe = replace(RECIPE, lora=4, warm_up=0.0, decay=0.0, weights=acting)
    losses = run(data, tmp_path / "whole", adapted, recipe, save_every=20)
    assert losses[-1] < 0.9 * losses[0]
    state = load_file(tmp_path / "whole/resume/state.safetensors")
    weights = {key.removeprefix("weight/") for key in state if key.startswith("weight/")}
    assert weights
    assert all("lora" in key or "token" in key or "lm_head" in key for key in weights)

    class StoppedError(Exception):
        pass

    def stop(values: dict[str, Any]) -> None:
        if values.get("step") == 24:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(data, tmp_path / "broken", adapted, recipe, save_every=20, report=stop)
    assert not (tmp_path / "broken/model.safetensors").exists()
    run(data, tmp_path / "broken", adapted, recipe, save_every=20)
    whole, broken = (checkpoint_model(tmp_path / name).state_dict() for name in ("whole", "broken"))
    original = checkpoint_model(adapted).state_dict()
    assert whole.keys() == broken.keys() == original.keys()
    for key, value in whole.items():
        assert torch.equal(value, broken[key]), key
        if "vision_tower" in key:
            assert torch.equal(value, original[key]), key
    embedding = next(key for key in whole if key.endswith("embed_tokens.weight"))
    changed = (whole[embedding] != original[embedding]).any(1).nonzero()[:, 0].tolist()
    assert set(changed) <= set(control_ids(read_contract(adapted / "hyt.json")))


def test_llava_can_reuse_its_last_text_tokens_for_actions(data: Path, tmp_path: Path) -> None:
    write_vlm(tmp_path / "original", "llava")
    contract = adapt(tmp_path / "original", tmp_path / "adapted", open_dataset(data), replace(ADAPTATION, reuse=True))
    assert contract.action.token_ids == tuple(range(TOKENS - 16, TOKENS))
    assert set(contract.action.token_ids) <= set(contract.thought.suppressed_ids)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"actions": ADAPTATION.actions[:3]},
            "action; expected the dataset's dimensions x, y, z, gripper; received x, y, z",
        ),
        ({"actions": (Meaning("x", "mm", *MOTION), *ADAPTATION.actions[1:])}, "action 'x'; expected unit 'm'"),
        ({"reuse": True}, "expected ids from -3.* on for the actions"),
    ],
)
def test_what_does_not_fit_is_one_line(data: Path, tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    write_vlm(tmp_path / "original", "paligemma")
    with pytest.raises(HytError, match=told):
        adapt(tmp_path / "original", tmp_path / "adapted", open_dataset(data), replace(ADAPTATION, **changed))
    assert not (tmp_path / "adapted").exists()


def test_a_missing_checkpoint_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(HytError, match="nowhere; expected a folder with a checkpoint; received no folder"):
        adapt(tmp_path / "nowhere", tmp_path / "adapted", open_dataset(data), ADAPTATION)


def test_an_adapted_checkpoint_is_not_adapted_again(data: Path, tmp_path: Path) -> None:
    write_vlm(tmp_path / "original", "paligemma")
    adapt(tmp_path / "original", tmp_path / "adapted", open_dataset(data), ADAPTATION)
    with pytest.raises(OutputExistsError):
        adapt(tmp_path / "original", tmp_path / "adapted", open_dataset(data), ADAPTATION)
    with pytest.raises(CheckpointError, match="not adapted; received the token <act>"):
        adapt(tmp_path / "adapted", tmp_path / "again", open_dataset(data), ADAPTATION)


def test_the_command_asks_for_the_meaning_of_each_dimension(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_vlm(tmp_path / "original", "paligemma")
    command = ["adapt", str(tmp_path / "original"), "-o", str(tmp_path / "out"), "--data", str(data), "--name", "toy"]
    assert main([*command, "--action", "x:m"]) == InputError.exit_code
    assert "dimension 'x:m'; expected 4 or 5 parts; received 2" in capsys.readouterr().err
    meant = [f"{axis}:m:delta:world:last_setpoint" for axis in "xyz"] + ["gripper:1:absolute:gripper"]
    assert main([*command, *(part for text in meant for part in ("--action", text))]) == 0
    assert read_contract(tmp_path / "out" / "hyt.json").action.dimensions[0].relative_to == "last_setpoint"
