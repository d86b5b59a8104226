"""Each speed-up that can be left out: without it the core says what ggml's operators say, and computes otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from checkpoints import ACT
from family_parity import random_images
from family_sessions import FAMILIES, layout_of, session

from hyt.export.exporter import export_bundle
from hyt.runtime import _core
from hyt.runtime.bundle import Bundle, open_bundle

LOGIT_ERROR = 0.06
"""Largest difference of a logit, as a share of the largest; choices must agree above the margin that it makes.

Sums in another order, and ggml's own GELU and SiLU, which are less exact, move a few activations across the edge at
which they are rounded to int8: with everything on it is 0.031 here, and no more with one cut left out."""

SAME_BITS = ("piecewise", "own_threads", "last_layer", "read_ahead", "one_pass")
"""These change when and where something is computed, and no sum."""

OPERATORS = {
    "strips": "vision: product",
    "fused": "prefill: add and norm",
    "own_attention": "prefill: attention",
    "own_activations": "vision: activated product",
    "own_norms": "vision: patches",
    "piecewise": "vision: activated product",
}
"""What a profile no longer shows where the cut is left out."""


@pytest.fixture(scope="module", params=FAMILIES)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("cuts")
    export_bundle(FAMILIES[request.param](folder / "c").path, folder / "x.hyt", threads=1)
    return open_bundle(folder / "x.hyt")


def operators(one: _core.Session, bundle: Bundle) -> set[str]:
    one.profile(True)
    one.observe(list(random_images(bundle, 0).values()), layout_of(bundle, 0))
    one.act(ACT)
    names = set(one.profiled())
    one.profile(False)
    return names


@pytest.mark.parametrize("cut", _core.cuts())
def test_without_one_cut_the_core_says_what_the_plain_path_says(bundle: Bundle, cut: str) -> None:
    plain, without = session(bundle, own_kernels=False), session(bundle, without=[cut])
    assert without.info()["without"] == [cut]
    rows = np.array(bundle.contract.action.token_ids)
    decided = 0
    for seed in range(4):
        images, layout = list(random_images(bundle, seed).values()), layout_of(bundle, seed)
        for one in (plain, without):
            one.observe(images, layout)
        chosen, got = plain.act(ACT).tokens, without.act(ACT).tokens
        fed = np.concatenate([[ACT], chosen[:-1]]).astype(np.int32)
        expected = plain.logits(layout, images, fed)
        bound = LOGIT_ERROR * float(np.abs(expected).max())
        assert np.abs(without.logits(layout, images, fed) - expected).max() < bound
        best = np.sort(expected[:, rows], axis=1)
        for margin, token, choice in zip(best[:, -1] - best[:, -2], got, chosen, strict=True):
            if margin <= bound:
                break  # from here on both may have been fed something else
            assert token == choice
            decided += 1
    assert decided >= 4


@pytest.mark.parametrize("cut", SAME_BITS)
def test_what_changes_no_sum_changes_no_bit(bundle: Bundle, cut: str) -> None:
    images, layout = list(random_images(bundle, 2).values()), layout_of(bundle, 2)
    tokens = np.array([ACT, 12, 13], np.int32)
    whole, without = (session(bundle, without=cuts).logits(layout, images, tokens) for cuts in ([], [cut]))
    np.testing.assert_array_equal(without, whole)


@pytest.mark.parametrize("cut", OPERATORS)
def test_what_is_left_out_is_not_computed(bundle: Bundle, cut: str) -> None:
    if not _core.system()["kernels"] and cut in ("strips", "fused"):
        return  # a CPU without kernels has neither
    assert OPERATORS[cut] in operators(session(bundle), bundle)
    assert OPERATORS[cut] not in operators(session(bundle, without=[cut]), bundle)


def test_without_the_action_rows_the_whole_output_matrix_is_computed(bundle: Bundle) -> None:
    assert "action token: pick" not in operators(session(bundle), bundle)
    assert "action token: pick" in operators(session(bundle, without=["action_rows"]), bundle)


def test_all_cuts_left_out_are_the_plain_path_and_more(bundle: Bundle) -> None:
    images, layout = list(random_images(bundle, 1).values()), layout_of(bundle, 1)
    tokens = np.array([ACT, 12, 13], np.int32)
    plain = session(bundle, own_kernels=False).logits(layout, images, tokens)
    none = session(bundle, without=_core.cuts()).logits(layout, images, tokens)
    np.testing.assert_array_equal(none, plain)


def test_two_threads_without_their_own_say_the_same_as_one(bundle: Bundle) -> None:
    images, layout = list(random_images(bundle, 1).values()), layout_of(bundle, 1)
    tokens = np.array([ACT], np.int32)
    one, two = (session(bundle, n, without=["own_threads"]).logits(layout, images, tokens) for n in (1, 2))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-4 * np.abs(one).max())


def test_an_unknown_cut_is_refused_with_the_names_of_all(bundle: Bundle) -> None:
    with pytest.raises(_core.CoreError, match=r"cut to leave out; expected one of strips, fused, .*; received 'speed'"):
        session(bundle, without=["speed"])
