"""The reference of a continuous policy: transformers over one explicit mask, and the action head by the formula.

write_head(head, path)                                         # head.gguf, in float32 or quantised
reference_chunk(case, head, layout, fed)                       # numbers (steps * dimensions,) behind prefix and tokens
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from action_heads import EPSILON, Head, head_numbers
from model_gguf import add_weight, finish
from numpy.typing import NDArray
from reference import Case, expand_layout, pixel_values


def write_head(head: Head, path: Path, quantize: str | None = None) -> str:
    """Write head.gguf; the head's own matrices become what the file holds."""
    writer = gguf.GGUFWriter(str(path), "hyt-head")
    for key in ("hidden", "steps", "dimensions", "width", "blocks"):
        writer.add_uint32(f"hyt.action.{key}", getattr(head, key))
    writer.add_float32("hyt.action.norm_epsilon", EPSILON)
    for name, value in head.tensors.items():
        matrix = name.endswith("linear.weight")
        add_weight(writer, f"action.{name}", value, quantize if matrix else None)
    finish(writer)
    return str(path)


def chunk_states(text: Any, embedded: torch.Tensor, bidirectional: int, head: Head) -> torch.Tensor:
    """Final hidden states (slots, hidden) behind `embedded` (n, hidden).

    The first `bidirectional` rows see each other, the rest is causal; the last token and the slots see all.
    """
    slots = head.tensors["slots.weight"]
    rows = torch.cat([embedded, slots])
    length, block = len(rows), len(embedded) - 1
    mask = torch.full((length, length), torch.finfo(torch.float32).min)
    for i in range(length):
        for j in range(length):
            if j <= i or max(i, j) < bidirectional or i >= block:
                mask[i, j] = 0.0
    full = mask[None, None]
    with torch.no_grad():
        out = text(
            inputs_embeds=rows[None],
            attention_mask={"full_attention": full, "sliding_attention": full},
            position_ids=torch.arange(length)[None],
            use_cache=False,
        )
    states: torch.Tensor = out.last_hidden_state[0, -len(slots) :]
    return states


def reference_chunk(case: Case, head: Head, layout: Sequence[int], fed: Sequence[int]) -> NDArray[np.float32]:
    """Normalised numbers behind a prefix seen in both directions and the tokens `fed` (the tag first)."""
    ids, order = expand_layout(case, layout)
    model = case.model.model
    table = model.get_input_embeddings()
    with torch.no_grad():
        embedded = table(ids)[0]
        images = model.get_image_features(pixel_values([case.images[i] for i in order]))
        embedded[ids[0] == case.model.config.image_token_index] = images.reshape(-1, images.shape[-1])
        embedded = torch.cat([embedded, table(torch.tensor(list(fed)))])
    states = chunk_states(model.language_model, embedded, ids.shape[1], head)
    numbers: NDArray[np.float32] = head_numbers(head, states).numpy()
    return numbers


def causal_chunk(model: Any, head: Head, fed: Sequence[int]) -> NDArray[np.float32]:
    """The same behind tokens alone, each of which sees those before it, for a model without vision."""
    with torch.no_grad():
        embedded = model.model.embed_tokens(torch.tensor(list(fed)))
    numbers: NDArray[np.float32] = head_numbers(head, chunk_states(model.model, embedded, 0, head)).numpy()
    return numbers
