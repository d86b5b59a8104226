"""The type of every tensor: what was asked for, by role, and what it falls back to."""

from __future__ import annotations

import pytest

from hyt.errors import InputError
from hyt.export.families.base import Role, TensorPlan
from hyt.export.quantization import HEAD_REQUESTS, REQUESTS, Request, choose_head_types, fitting_type
from hyt.export.quantization.types import FALLBACKS, block_size


def plan(role: Role, columns: int, name: str = "w") -> TensorPlan:
    return TensorPlan(name, name, (8, columns), role, "g")


@pytest.mark.parametrize(
    ("role", "columns", "request_", "type_", "reason"),
    [
        ("linear", 256, "q4_k", "q4_k", ""),
        ("linear", 64, "q4_k", "q4_0", "rows of 64 do not divide by 256"),
        ("linear", 64, "iq4_xs", "iq4_nl", "rows of 64 do not divide by 256"),
        ("linear", 64, "q5_k", "q5_0", "rows of 64 do not divide by 256"),
        ("linear", 64, "q6_k", "q8_0", "rows of 64 do not divide by 256"),
        ("linear", 64, "q4_1", "q4_1", ""),
        ("linear", 52, "q4_k", "f32", "rows of 52 do not divide by 256"),
        ("linear", 52, "q4_0", "f32", "rows of 52 do not divide by 32"),
        ("linear", 52, "q8_0", "f32", "rows of 52 do not divide by 32"),
        ("linear", 52, "f16", "f16", ""),
        ("embedding", 64, "q4_0", "q8_0", ""),
        ("embedding", 256, "q4_k", "q8_0", ""),
        ("embedding", 52, "q4_0", "f32", "rows of 52 do not divide by 32"),
        ("embedding", 64, "f16", "f16", ""),
        ("fixed", 64, "q4_0", "f32", ""),
        ("fixed", 64, "f16", "f32", ""),
    ],
)
def test_a_type_is_chosen_by_role_and_row_length(
    role: Role, columns: int, request_: str, type_: str, reason: str
) -> None:
    tensor = plan(role, columns)
    choice = fitting_type(tensor, Request(request_).wanted(tensor))
    assert (choice.type, choice.reason) == (type_, reason)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_type_ends_in_one_that_any_row_divides_by(name: str) -> None:
    while name in FALLBACKS:
        assert block_size(FALLBACKS[name]) <= block_size(name)
        name = FALLBACKS[name]
    assert block_size(name) == 1


@pytest.mark.parametrize(
    ("rows", "columns", "request_", "type_"),
    [
        (257_216, 2304, "q4_0", "q6_k"),  # PaliGemma 2 3B
        (32_064, 4096, "q4_0", "q8_0"),  # OpenVLA
        (151_936, 896, "q4_0", "q8_0"),  # MiniVLA
        (257_216, 2304, "q8_0", "q8_0"),
        (257_216, 2304, "f16", "f16"),
        (10**7, 96, "q4_0", "q8_0"),  # q6_k does not divide its rows
    ],
)
def test_a_large_embedding_takes_q6_k_beside_smaller_types(rows: int, columns: int, request_: str, type_: str) -> None:
    tensor = TensorPlan("token_embd.weight", "w", (rows, columns), "embedding", "g")
    assert fitting_type(tensor, Request(request_).wanted(tensor)).type == type_


def test_embedding_and_output_matrix_may_be_asked_for_by_themselves() -> None:
    request = Request("q4_0", embedding="q4_k", output="q6_k")
    assert request.wanted(plan("embedding", 256, "token_embd.weight")) == "q4_k"
    assert request.wanted(plan("embedding", 256, "output.weight")) == "q6_k"
    assert request.options() == {"--quantization": "q4_0", "--embedding-type": "q4_k", "--output-type": "q6_k"}


def test_only_the_matrices_of_a_head_are_made_smaller() -> None:
    head = [plan("linear", 64, "matrix"), plan("fixed", 64, "norm")]
    for name in HEAD_REQUESTS:
        chosen = choose_head_types(head, Request(head=name))
        assert (chosen["matrix"].type, chosen["norm"].type) == (name, "f32")


def test_a_type_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(InputError, match=r"embedding type; expected one of q4_0, .*; received 'q3'"):
        Request(embedding="q3")
