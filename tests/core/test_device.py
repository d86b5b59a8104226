"""A session on another device than the CPU: transformers' logits and tokens, nothing of ours in its graphs; refusals.

Which devices: see tests/devices.py. The CPU treated as any other device stands for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from action_heads import random_head
from against_reference import (
    F16_CACHE_BOUND,
    GELU_TABLE_BOUND,
    INT8_ACTIVATIONS_BOUND,
    compare_greedy,
    fed_tokens,
    logit_error,
    relative_error,
)
from checkpoints import ACT, AWKWARD, DEFAULT, FOLLOW, THINK, WIDE, make_draft, make_gate
from conftest import SHAPES, Opened
from continuous_reference import reference_chunk
from continuous_reference import write_head as write_action_head
from devices import SETTINGS
from family_parity import random_images
from family_sessions import FAMILIES, layout_of
from family_sessions import session as family_session
from guessed import check_same, facts
from model_gguf import write_head

from hyt.export.exporter import export_bundle
from hyt.runtime import _core
from hyt.runtime.bundle import open_bundle

Open = Callable[..., Opened]
OURS = ("strips", "fused", "own_attention", "own_activations", "own_norms", "own_threads")


@pytest.fixture(params=SETTINGS)
def device(request: pytest.FixtureRequest) -> dict[str, Any]:
    settings: dict[str, Any] = SETTINGS[request.param]
    return settings


@pytest.mark.parametrize("name", SHAPES)
def test_its_float_logits_are_those_of_transformers(open_case: Open, device: dict[str, Any], name: str) -> None:
    opened = open_case(SHAPES[name], 1)
    session = opened.session(**device)
    for text_tokens in (1, 6, 17):
        assert logit_error(opened, session, 1, text_tokens) < GELU_TABLE_BOUND


def test_a_float16_cache_costs_float16_rounding_there_too(open_case: Open, device: dict[str, Any]) -> None:
    opened = open_case(AWKWARD, 1)
    assert logit_error(opened, opened.session(kv_type="f16", **device), 1, 6) < F16_CACHE_BOUND


@pytest.mark.parametrize("quantize", ["q4_0", "q8_0", "q4_k", "q6_k"])
def test_its_quantised_logits_are_those_of_the_dequantised_weights(
    open_case: Open, device: dict[str, Any], quantize: str
) -> None:
    opened = open_case(WIDE if quantize.endswith("k") else DEFAULT, 3, quantize)
    errors = [logit_error(opened, opened.session(**device), seed, 9) for seed in range(2)]
    assert 0 < max(errors) < INT8_ACTIVATIONS_BOUND


@pytest.mark.parametrize("quantize", ["q4_0", "q8_0", "q4_k"])
def test_with_float32_activations_it_holds_its_matrices_as_float32(
    open_case: Open, device: dict[str, Any], quantize: str
) -> None:
    opened = open_case(WIDE if quantize == "q4_k" else DEFAULT, 3, quantize)
    session = opened.session(activations="float32", **device)
    assert max(logit_error(opened, session, seed, 9) for seed in range(2)) < GELU_TABLE_BOUND
    held, quantised = (one.info()["weights_bytes"] for one in (session, opened.session(**device)))
    assert isinstance(held, int)
    assert isinstance(quantised, int)
    assert held > 3 * quantised


@pytest.mark.parametrize("name", SHAPES)
def test_it_says_the_tokens_of_the_greedy_loop(open_case: Open, device: dict[str, Any], name: str) -> None:
    opened = open_case(SHAPES[name], 1)
    assert compare_greedy(opened, opened.session(**device), prefixes=2) > 30


def test_it_picks_an_action_from_all_logits_where_its_rows_are_not_cut_out(
    open_case: Open, device: dict[str, Any]
) -> None:
    opened = open_case(DEFAULT, 1)
    # Among all rows, so that a pick from the wrong place would show.
    ids = opened.case.contract["action"]["token_ids"][::-1]
    cut, picked = (
        opened.session(action_token_ids=ids, speculate="last", without=without, **device)
        for without in ([], ["action_rows"])
    )
    for seed in range(4):
        layout = opened.case.layout(seed, 6)
        acts = []
        for session in (cut, picked):
            session.observe(opened.case.images, layout)
            acts.append(session.act(ACT))
        np.testing.assert_array_equal(acts[0].tokens, acts[1].tokens)
        np.testing.assert_allclose(acts[0].probabilities, acts[1].probabilities, rtol=1e-3)


def test_a_continuous_chunk_is_what_transformers_and_the_formula_give(
    open_case: Open, device: dict[str, Any], tmp_path: Path
) -> None:
    opened = open_case(DEFAULT, 1)
    head = random_head(opened.case.shape.hidden, steps=3, dimensions=5, seed=3)
    session = opened.session(
        action_tokens=0,
        action_token_ids=[],
        head=write_action_head(head, tmp_path / "head.gguf"),
        action_steps=head.steps,
        action_dimensions=head.dimensions,
        **device,
    )
    layout = opened.case.layout(1, 6)
    session.observe(opened.case.images, layout)
    values = session.act(ACT).values
    assert relative_error(values, reference_chunk(opened.case, head, layout, [ACT])) < 3e-3


def test_a_thought_that_is_held_or_forked_is_read_from_its_memory(open_case: Open, device: dict[str, Any]) -> None:
    opened = open_case(DEFAULT, 1)
    there, here = opened.session(**device), opened.session(own_kernels=False)
    layout, other = opened.case.layout(1, 6), opened.case.layout(2, 5)
    answers = []
    for session in (there, here):
        session.observe(opened.case.images, layout)
        session.think_begin(THINK)
        session.think(max_steps=1)
        session.observe(opened.case.images, other)  # an open thought keeps its own frame
        acted = session.act(ACT)
        thought = session.think()
        held = session.act_with_thought(THINK, thought.tokens)
        answers.append([acted, thought, session.act_after_thought(), held, session.follow(layout, FOLLOW)])
    for one, two in zip(*answers, strict=True):
        np.testing.assert_array_equal(one.tokens, two.tokens)


def test_a_gate_judges_the_state_that_it_gives_back(open_case: Open, device: dict[str, Any], tmp_path: Path) -> None:
    opened = open_case(AWKWARD, 1)
    gate = make_gate(replace(AWKWARD, gate_units=16))
    layout = opened.case.layout(1, 6)
    there, here = opened.gated_session(tmp_path, gate, **device), opened.gated_session(tmp_path, gate)
    told = []
    for session in (there, here):
        session.observe(opened.case.images, layout)
        told.append(session.act(ACT).think_probability)
    assert told[0] == pytest.approx(told[1], rel=1e-2)
    assert relative_error(there.act_state(), here.act_state()) < GELU_TABLE_BOUND


@pytest.mark.parametrize("how", ["last", "draft"])
def test_guesses_change_no_token_there(open_case: Open, device: dict[str, Any], tmp_path: Path, how: str) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    head = make_draft(replace(WIDE, draft_units=24))
    path = tmp_path / "head.gguf"
    write_head(path, head, prefix="draft")
    guessing = opened.session(head=str(path), draft_units=24, speculate=how, **device)
    plain = opened.session(**device)
    assert facts(guessing)["exact"] is False
    for seed in (1, 1, 2):
        for session in (plain, guessing):
            session.observe(opened.case.images, opened.case.layout(seed, 6))
        check_same(plain.act(ACT), guessing.act(ACT), guessing)
    assert facts(guessing)["passes"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_there_what_the_plain_path_says(family: str, device: dict[str, Any], tmp_path: Path) -> None:
    export_bundle(FAMILIES[family](tmp_path / "c").path, tmp_path / "x.hyt", threads=1)
    bundle = open_bundle(tmp_path / "x.hyt")
    plain, there = family_session(bundle, own_kernels=False), family_session(bundle, **device)
    for seed in range(2):
        images, layout = list(random_images(bundle, seed).values()), layout_of(bundle, seed)
        tokens = np.array([ACT, 12, 13, 14], np.int32)
        expected, got = (one.logits(layout, images, tokens) for one in (plain, there))
        assert relative_error(got, expected) < INT8_ACTIVATIONS_BOUND


def test_the_same_question_has_the_same_answer_bit_by_bit(open_case: Open, device: dict[str, Any]) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    session = opened.session(**device)
    tokens = np.array(fed_tokens(opened, 0, 4), np.int32)
    first, *again = (session.logits(opened.case.layout(1, 6), opened.case.images, tokens) for _ in range(3))
    for logits in again:
        np.testing.assert_array_equal(logits, first)


def test_no_operator_of_ours_is_in_its_graphs(open_case: Open, device: dict[str, Any]) -> None:
    opened = open_case(WIDE, 1, "q4_0")
    session = opened.session(**device)
    assert session.info()["without"] == list(OURS)
    session.profile(True)
    session.observe(opened.case.images, opened.case.layout(1, 6))
    session.act(ACT)
    session.think_begin(THINK)
    session.think(max_steps=2)
    operators = {name.partition(": ")[2] for name in session.profiled()}
    assert {"MUL_MAT", "SOFT_MAX", "GET_ROWS", "SET_ROWS"} <= operators
    assert all(name == name.upper() for name in operators)  # ggml's names; ours are in small letters


def test_it_tells_every_product_when_it_is_watched(open_case: Open, device: dict[str, Any]) -> None:
    opened = open_case(DEFAULT, 1)
    inputs: dict[str, dict[str, Any]] = {}
    layout = opened.case.layout(1, 6)
    for name, settings in (("there", device), ("here", {"own_kernels": False})):
        told = inputs.setdefault(name, {})
        session = opened.session(**settings)
        session.watch(lambda matrix, values, told=told: told.setdefault(matrix, values.copy()))  # type: ignore[misc]
        session.observe(opened.case.images, layout)
        session.act(ACT)
    assert inputs["there"].keys() == inputs["here"].keys()
    for matrix, values in inputs["there"].items():
        assert relative_error(values, inputs["here"][matrix]) < GELU_TABLE_BOUND


def test_the_session_tells_its_device_and_guesses_nothing_by_itself(open_case: Open, device: dict[str, Any]) -> None:
    session = open_case(DEFAULT, 1).session(speculate="auto", **device)
    info = session.info()
    name = _core.find_device(device.get("device", "cpu"))
    assert info["device"] == name
    assert str(info["backend"]).startswith(f"{name} (")
    assert facts(session)["now"] == "off"


def test_weights_that_stay_in_their_files_are_refused_there(open_case: Open, device: dict[str, Any]) -> None:
    with pytest.raises(
        _core.CoreError, match=r"mapped_weights; expected weights that are copied to .*; received weights"
    ):
        open_case(DEFAULT, 1).session(mapped_weights=True, **device)


def test_devices_are_listed_and_found_by_name_and_by_kind() -> None:
    devices = _core.devices()
    assert "CPU" in [device["name"] for device in devices]
    assert _core.system()["devices"] == [device["name"] for device in devices]
    for device in devices:
        assert _core.find_device(device["name"].lower()) == device["name"]
        assert device["description"]
        assert 0 < device["free_bytes"] <= device["total_bytes"]
    assert _core.find_device("cpu") == "CPU"


@pytest.mark.parametrize("name", ["", "tpu", "CPU7", "cpu\n"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(open_case: Open, name: str) -> None:
    with pytest.raises(_core.DeviceError, match=r"device; expected one of those that the installed ggml has: .*CPU"):
        open_case(DEFAULT, 0).session(device=name)
