"""What a session promises: acts repeat, thoughts keep their place, and only what an answer needs is computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from checkpoints import ACT, AWKWARD, DEFAULT, FOLLOW, THINK
from conftest import Opened

from hyt.runtime import _core

Open = Callable[..., Opened]


@pytest.fixture
def opened(open_case: Open) -> Opened:
    # A model whose thought runs to its longest, so that it can be interrupted anywhere.
    return open_case(AWKWARD, 1)


def other_images(opened: Opened, seed: int = 9) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, image.shape, dtype=np.uint8) for image in opened.case.images]


def whole_thought(opened: Opened) -> tuple[list[int], list[int]]:
    """A thought that nothing interrupts, and the action behind it."""
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    session.think_begin(THINK)
    thought = session.think()
    return thought.tokens.tolist(), session.act_after_thought().tokens.tolist()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_act_repeats_bit_by_bit(opened: Opened, threads: int) -> None:
    layout = opened.case.layout(0, 6)
    runs = []
    for session in (opened.session(threads=threads), opened.session(threads=threads)):
        for _ in range(3):
            session.observe(opened.case.images, layout)
            first, again = session.act(ACT), session.act(ACT)
            runs += [first, again]
    for run in runs[1:]:
        assert np.array_equal(run.tokens, runs[0].tokens)
        assert np.array_equal(run.probabilities, runs[0].probabilities)


def test_an_observation_of_another_scene_is_another_prefix(opened: Opened) -> None:
    session, layout = opened.session(), opened.case.layout(0, 6)
    session.observe(opened.case.images, layout)
    first = session.act(ACT)
    session.observe(other_images(opened), layout)
    assert not np.array_equal(session.act(ACT).probabilities, first.probabilities)
    session.observe(opened.case.images, layout)
    assert np.array_equal(session.act(ACT).probabilities, first.probabilities)


def test_prefixes_of_any_length_leave_nothing_to_each_other(opened: Opened) -> None:
    session = opened.session()
    for text in (6, 1, 8, 3, 6):
        layout, other = opened.case.layout(text, text), opened.case.layout(text + 1, 9 - text)
        fresh = opened.session()
        for one in (fresh, session):
            one.observe(opened.case.images, layout)
        assert np.array_equal(session.act(ACT).probabilities, fresh.act(ACT).probabilities)
        followed = session.follow(other, FOLLOW)
        assert np.array_equal(followed.probabilities, fresh.follow(other, FOLLOW).probabilities)


def test_a_thought_in_pieces_is_the_thought_in_one(opened: Opened) -> None:
    tokens, after = whole_thought(opened)
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    session.think_begin(THINK)
    lengths = []
    while not (piece := session.think(max_steps=1)).finished:
        lengths.append(len(piece.tokens))
    assert lengths == list(range(1, len(lengths) + 1))
    assert piece.tokens.tolist() == tokens
    assert session.act_after_thought().tokens.tolist() == after
    assert session.act_after_thought().tokens.tolist() == after


def test_a_thought_survives_acts_follows_and_later_observations(opened: Opened) -> None:
    tokens, after = whole_thought(opened)
    layout = opened.case.layout(0, 6)
    session = opened.session()
    session.observe(opened.case.images, layout)
    session.think_begin(THINK)
    session.think(max_steps=4)
    acted = session.act(ACT)
    session.observe(other_images(opened), opened.case.layout(1, 11))
    session.act(ACT)
    session.think(max_steps=2)
    session.follow(opened.case.layout(2, 3), FOLLOW)
    session.logits(opened.case.layout(3, 2), opened.case.images, np.array([ACT], np.int32))
    thought = session.think()
    assert thought.tokens.tolist() == tokens
    assert session.act_after_thought().tokens.tolist() == after
    session.observe(opened.case.images, layout)
    assert np.array_equal(session.act(ACT).probabilities, acted.probabilities)


def test_a_given_thought_is_read_as_if_it_had_been_written(opened: Opened) -> None:
    tokens, after = whole_thought(opened)
    session, layout = opened.session(), opened.case.layout(0, 6)
    session.observe(opened.case.images, layout)
    acted = session.act(ACT)
    given = np.array(tokens, np.int32)
    assert session.act_with_thought(THINK, given).tokens.tolist() == after
    assert session.act_with_thought(THINK, given).tokens.tolist() == after
    assert np.array_equal(session.act(ACT).probabilities, acted.probabilities)  # nothing is left behind


def test_a_given_thought_leaves_an_open_one_where_it_is(opened: Opened) -> None:
    tokens, _ = whole_thought(opened)
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    session.think_begin(THINK)
    session.think(max_steps=4)
    session.observe(other_images(opened), opened.case.layout(1, 11))
    session.act_with_thought(THINK, np.array(tokens[:3], np.int32))
    assert session.think().tokens.tolist() == tokens


def test_a_given_thought_that_cannot_be_one_is_refused(opened: Opened) -> None:
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    most = opened.case.contract["thought"]["max_tokens"]
    for thought, said in (([2**30], "thought token"), ([ACT] * (most + 1), "thought tokens")):
        with pytest.raises(_core.CoreError, match=said):
            session.act_with_thought(THINK, np.array(thought, np.int32))


def test_follow_leaves_the_observation_as_it_is(opened: Opened) -> None:
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    first = session.act(ACT)
    followed = session.follow(opened.case.layout(2, 3), FOLLOW)
    assert np.array_equal(session.act(ACT).probabilities, first.probabilities)
    assert np.array_equal(session.follow(opened.case.layout(2, 3), FOLLOW).probabilities, followed.probabilities)


def test_logits_of_other_images_leave_a_pending_observation_as_it_is(opened: Opened) -> None:
    layout = opened.case.layout(0, 6)
    session = opened.session()
    session.observe(opened.case.images, layout)
    expected = session.act(ACT)
    session.observe(opened.case.images, layout)
    session.logits(layout, other_images(opened), np.array([ACT], np.int32))
    assert np.array_equal(session.act(ACT).probabilities, expected.probabilities)


def passes(session: _core.Session) -> tuple[object, object]:
    info = session.info()
    return info["action_passes"], info["vocabulary_passes"]


def test_acting_never_computes_the_full_vocabulary(opened: Opened) -> None:
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    session.act(ACT)
    session.follow(opened.case.layout(2, 3), FOLLOW)
    assert passes(session) == (16, 0)
    session.think_begin(THINK)
    session.think(max_steps=3)
    assert passes(session) == (16, 3)


def test_the_action_head_gives_the_full_heads_logits(opened: Opened) -> None:
    session, layout = opened.session(), opened.case.layout(0, 6)
    session.observe(opened.case.images, layout)
    act = session.act(ACT)
    actions = opened.case.contract["action"]["token_ids"]
    fed = np.array([ACT, *act.tokens[:-1]], np.int32)
    logits = session.logits(layout, None, fed)[:, actions].astype(np.float64)
    assert np.array_equal(np.array(actions)[logits.argmax(axis=1)], act.tokens)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(act.probabilities, shares.max(axis=1), rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_thoughts_hold_no_action_and_no_padding(open_case: Open, seed: int) -> None:
    opened = open_case(DEFAULT, seed)
    shape, contract = opened.case.shape, opened.case.contract
    # Only the actions are suppressed: padding is known by the vocabulary's size alone.
    session = opened.session(thought_suppressed_ids=contract["action"]["token_ids"], vocab_size=shape.tokenizer_size)
    for prefix in range(3):
        session.observe(opened.case.images, opened.case.layout(prefix, 6))
        session.think_begin(THINK)
        thought = session.think().tokens
        assert not set(thought.tolist()) & set(contract["action"]["token_ids"])
        assert (thought < shape.tokenizer_size).all()
        assert len(thought) <= contract["thought"]["max_tokens"]


def test_thinking_stops_before_its_deadline(opened: Opened) -> None:
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    session.think_begin(THINK)
    assert len(session.think(until=time.monotonic() - 1).tokens) == 0
    assert len(session.think(max_steps=0).tokens) == 0
    assert session.think(until=time.monotonic() + 60).finished
    assert session.think(until=float("inf")).finished


def test_timings_are_of_the_observation_and_the_call(opened: Opened) -> None:
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    first, again = session.act(ACT).timings, session.act(ACT).timings
    assert first["vision"] == again["vision"] > 0
    assert first["prefill"] == again["prefill"] > 0
    for timings in (first, again):
        parts = timings["vision"] + timings["prefill"] + timings["decode"]
        assert timings["total"] == pytest.approx(parts)


def test_calls_from_several_threads_wait_for_each_other(opened: Opened) -> None:
    session = opened.session()
    session.observe(opened.case.images, opened.case.layout(0, 6))
    expected = session.act(ACT).tokens.tolist()
    received: list[list[int]] = []
    workers = [threading.Thread(target=lambda: received.append(session.act(ACT).tokens.tolist())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert received == [expected] * 4


def test_by_default_one_core_is_left_to_others(opened: Opened) -> None:
    cores = _core.system()["physical_cores"]
    assert isinstance(cores, int)
    assert opened.session(threads=0).info()["threads"] == min(max(cores - 1, 1), 8)


def test_info_tells_shapes_and_bytes(opened: Opened) -> None:
    info = opened.session(kv_type="f16").info()
    shape = opened.case.shape
    assert info["backend"].startswith("CPU, INT4 by ")
    assert opened.session(own_kernels=False).info()["backend"] == "CPU"
    assert info["threads"] == 1
    assert info["image_tokens"] == 2 * opened.case.patches
    cells = info["cells"]
    assert isinstance(cells, int)
    one_slot = shape.layers * 2 * shape.kv_heads * shape.head_dim * cells * 2
    assert info["kv_bytes"] >= 3 * one_slot


def test_a_policy_without_thoughts_keeps_no_room_for_one(opened: Opened) -> None:
    thinking, acting = opened.session().info(), opened.session(max_thought_tokens=0).info()
    assert acting["kv_bytes"] / acting["cells"] == pytest.approx(
        thinking["kv_bytes"] / thinking["cells"] * 2 / 3, rel=0.02
    )
