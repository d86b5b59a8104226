"""Tests of hyt.runtime.actions against the formula of the contract in float64."""

from __future__ import annotations

import checkpoints
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyt
from hyt.runtime.actions import ActionTable, Timings
from hyt.runtime.contract import Contract

DATA = checkpoints.contract_data()
for _index, _dimension in enumerate(DATA["action"]["dimensions"]):
    _dimension["low"], _dimension["high"] = -0.1 * (_index + 1), 0.3 * (_index + 1)
KIND = {"kind": "continuous", "token_ids": [], "bin_centers": []}
CONTRACT = Contract.model_validate(DATA)
ACTION = CONTRACT.action
TABLE = ActionTable(ACTION)


@given(st.lists(st.integers(0, len(ACTION.token_ids) - 1), min_size=ACTION.tokens, max_size=ACTION.tokens))
def test_values_are_the_contracts_formula_rounded_once(bins: list[int]) -> None:
    tokens = np.array([ACTION.token_ids[bin] for bin in bins], np.int32)
    values = TABLE.values(tokens)
    assert values.shape == (ACTION.steps, len(ACTION.dimensions))
    assert values.dtype == np.float32
    for position, bin in enumerate(bins):
        step, column = divmod(position, len(ACTION.dimensions))
        dimension, center = ACTION.dimensions[column], ACTION.bin_centers[bin]
        expected = dimension.low + (center + 1) / 2 * (dimension.high - dimension.low)
        assert values[step, column] == np.float32(expected)


def test_a_chunk_says_names_units_and_its_least_certain_token() -> None:
    tokens = np.full(ACTION.tokens, ACTION.token_ids[3], np.int32)
    probabilities = np.linspace(0.5, 0.9, ACTION.tokens, dtype=np.float32)
    chunk = TABLE.chunk(tokens, probabilities, Timings(total=0.1))
    assert chunk.names == ("x", "y", "z", "gripper")
    assert chunk.units == ("m", "m", "m", "1")
    assert chunk.confidence == 0.5
    assert chunk.step_time == ACTION.step_time
    assert chunk.timings.total == 0.1


def test_a_token_that_is_no_action_is_refused() -> None:
    tokens = np.full(ACTION.tokens, ACTION.token_ids[0], np.int32)
    tokens[2] = 1
    with pytest.raises(hyt.HytError) as caught:
        TABLE.values(tokens)
    assert str(caught.value) == "action tokens; expected one of 16 action token ids; received 1"


def test_a_chunk_of_another_length_is_refused() -> None:
    with pytest.raises(hyt.HytError) as caught:
        TABLE.values(np.zeros(3, np.int32))
    assert str(caught.value) == "action tokens; expected 8; received shape (3,)"


CONTINUOUS = Contract.model_validate({**DATA, "action": {**DATA["action"], **KIND}}).action


def test_normalised_numbers_span_each_range_and_are_clipped_to_it() -> None:
    numbers = np.array([-1, 0, 1, 0.5, -1.5, 7, 0.25, -0.125], np.float32)
    chunk = ActionTable(CONTINUOUS).continuous_chunk(numbers, Timings(decode=0.1))
    assert chunk.values.shape == (2, 4)
    assert chunk.values.dtype == np.float32
    for position, number in enumerate([-1, 0, 1, 0.5, -1, 1, 0.25, -0.125]):
        step, column = divmod(position, 4)
        dimension = CONTINUOUS.dimensions[column]
        expected = dimension.low + (number + 1) / 2 * (dimension.high - dimension.low)
        assert chunk.values[step, column] == np.float32(expected)


def test_a_continuous_chunk_has_no_tokens_and_no_confidence() -> None:
    chunk = ActionTable(CONTINUOUS).continuous_chunk(np.zeros(8, np.float32), Timings())
    assert chunk.tokens is None
    assert chunk.probabilities is None
    assert chunk.confidence is None
    assert (CONTINUOUS.tokens, CONTINUOUS.size) == (0, 8)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_never_become_a_chunk(bad: float) -> None:
    numbers = np.zeros(8, np.float32)
    numbers[3] = bad
    with pytest.raises(hyt.HytError) as caught:
        ActionTable(CONTINUOUS).continuous_chunk(numbers, Timings())
    assert str(caught.value) == (
        "action values; expected finite numbers; received NaN or infinity; "
        "do not run this policy; export it again from a sound checkpoint"
    )


def test_numbers_for_another_chunk_are_refused() -> None:
    with pytest.raises(hyt.HytError) as caught:
        ActionTable(CONTINUOUS).continuous_chunk(np.zeros((2, 4), np.float32), Timings())
    assert str(caught.value) == "action values; expected 8; received shape (2, 4)"
