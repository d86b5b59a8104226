"""Tests of hyt.runtime.cost against the tensors themselves and a layer-by-layer count."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFReader

from hyt.runtime.bundle import open_bundle
from hyt.runtime.cost import cost_of


def test_a_token_reads_every_layer_and_its_rows_of_the_output(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    cost = cost_of(bundle, prefix=30)
    tensors = {t.name: t for path in (bundle.language, bundle.vision) for t in GGUFReader(path).tensors}
    assert cost.weight_bytes == sum(int(t.n_bytes) for t in tensors.values())
    vision = sum(int(t.n_bytes) for name, t in tensors.items() if name.startswith(("v.", "mm.")))
    assert cost.thought_token_bytes == cost.weight_bytes - vision
    row = int(tensors["token_embd.weight"].n_bytes) // bundle.contract.vocab_size
    unread = bundle.contract.vocab_size - len(bundle.contract.action.token_ids)
    assert cost.action_pass_bytes == cost.thought_token_bytes - row * unread


def test_a_continuous_chunk_reads_every_layer_and_its_head(continuous_bundle: Path) -> None:
    bundle = open_bundle(continuous_bundle)
    assert bundle.head is not None
    cost = cost_of(bundle, prefix=30)
    head = sum(int(t.n_bytes) for t in GGUFReader(bundle.head).tensors)
    language = {t.name: int(t.n_bytes) for t in GGUFReader(bundle.language).tensors}
    assert cost.action_pass_bytes == head + sum(language.values()) - language["token_embd.weight"]
    vision = sum(int(t.n_bytes) for t in GGUFReader(bundle.vision).tensors)
    assert cost.weight_bytes == head + vision + sum(language.values())


def test_prefill_counts_two_operations_for_each_weight_and_position(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    tensors = GGUFReader(bundle.language).tensors
    matrices = sum(int(t.n_elements) for t in tensors if t.name.startswith("blk.") and len(t.shape) == 2)
    text = bundle.manifest.shapes.text
    attention = sum(2 * 2 * text.heads * text.head_dim * keys for keys in [7] * 7) * text.layers
    assert cost_of(bundle, prefix=7).prefill_flops == 2 * 7 * matrices + attention


def test_vision_counts_its_matrices_and_attention(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    matrices = {t.name: int(t.n_elements) for t in GGUFReader(bundle.vision).tensors if "position" not in t.name}
    weights = sum(size for name, size in matrices.items() if name.endswith("weight") and ".ln" not in name)
    weights -= sum(size for name, size in matrices.items() if name == "v.post_ln.weight")
    vision = bundle.manifest.shapes.vision
    attention = vision.layers * 4 * vision.tokens**2 * vision.hidden_size
    assert cost_of(bundle, prefix=7).vision_flops == 2 * vision.tokens * weights + attention
