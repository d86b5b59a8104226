"""Tests of benchmarks/contestants/limits.py: work counted here anew, layer by layer and position by position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from contestants.case import Case, case_of
from contestants.ceilings import Ceilings, measure
from contestants.limits import Work, shares, work_of
from gguf import GGUFReader

from hyt.runtime.bundle import open_bundle

THOUGHT = 5


@pytest.fixture
def case(tiny_bundle: Path) -> Case:
    return case_of(tiny_bundle, THOUGHT)


def sizes(path: Path) -> dict[str, tuple[int, int]]:
    """Elements and bytes by tensor."""
    return {tensor.name: (int(tensor.n_elements), int(tensor.n_bytes)) for tensor in GGUFReader(path).tensors}


def test_a_decoded_token_reads_all_layers_its_rows_of_the_output_and_all_positions_before(
    tiny_bundle: Path, case: Case
) -> None:
    bundle = open_bundle(tiny_bundle)
    text = bundle.manifest.shapes.text
    tensors = sizes(bundle.language)
    embedding = tensors.pop("token_embd.weight")[1]
    layers = sum(size for _, size in tensors.values())
    row = embedding // bundle.contract.vocab_size
    act = think = 0.0
    for token in range(case.action_tokens):
        act += layers + row * len(case.action_ids)
        act += sum(2 * 4 * text.layers * text.kv_heads * text.head_dim for _ in range(case.prefix + token + 1))
    for token in range(THOUGHT):
        think += layers + embedding
        think += sum(2 * 4 * text.layers * text.kv_heads * text.head_dim for _ in range(case.prefix + token + 1))
    work = work_of(bundle, case)
    assert work["act"]["decode"].read == pytest.approx(act)
    assert work["think"]["decode"].read == pytest.approx(think)


@pytest.mark.parametrize("causal", [True, False])
def test_a_prefill_multiplies_every_position_but_in_the_last_layer_only_for_keys_and_values(
    tiny_bundle: Path, case: Case, causal: bool
) -> None:
    bundle = open_bundle(tiny_bundle)
    text = bundle.manifest.shapes.text
    int8 = float32 = 0
    for layer in range(text.layers):
        names = ["attn_k", "attn_v"]
        if layer + 1 < text.layers:
            names += ["attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
            for position in range(case.prefix):
                seen = position + 1 if causal else case.prefix
                float32 += 2 * 2 * text.heads * text.head_dim * seen
        int8 += sum(2 * case.prefix * sizes(bundle.language)[f"blk.{layer}.{name}.weight"][0] for name in names)
    work = work_of(bundle, replace(case, causal=causal))["whole"]["prefill"]
    assert (work.int8, work.float32) == (int8, float32)


def test_time_is_that_of_the_narrower_limit() -> None:
    ceilings = Ceilings(2, 10**6, bytes_per_second=10.0, float32_per_second=50.0, int8_per_second=100.0, int8_by="x")
    assert Work(int8=300, float32=100, read=20).seconds(ceilings) == 5
    assert Work(int8=300, float32=100, read=90).seconds(ceilings) == 9
    work = {"act": {"prefill": Work(int8=300, float32=100), "decode": Work(read=30)}}
    found = shares(work, {"act": {"prefill": 10.0, "decode": 4.0, "total": 16.0}}, ceilings)
    assert found == {"act": {"prefill": 0.5, "decode": 0.75, "total": 0.5}}


def test_the_higher_of_two_measurements_counts() -> None:
    first = Ceilings(1, 64, 9.0, 2.0, 5.0, "fbgemm")
    second = Ceilings(1, 64, 3.0, 4.0, 6.0, "onednn")
    best = Ceilings(1, 64, 9.0, 4.0, 6.0, "onednn")
    assert first.better(second) == second.better(first) == best


def test_the_machine_is_measured() -> None:
    found = measure(1, [(64, 96, 7)], 10**6)
    assert found.read_bytes == pytest.approx(10**6, rel=0.05)
    assert found.bytes_per_second > 1e8
    assert found.float32_per_second > 1e8
    assert found.int8_per_second > 1e5
    assert found.int8_by in ("fbgemm", "onednn", "int8 matmul")
