"""Traps of the reference: each is shown here, so that a comparison with it means what it seems to mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from checkpoints import ACT, DEFAULT, build_model
from conftest import Opened
from reference import Case, Decoding, expand_layout, make_case, pixel_values, reference_logits

Open = Callable[..., Opened]

# Text alone: what is shown here does not depend on images.
TEXT = replace(DEFAULT, cameras=0)
LAYOUT = list(range(11, 19))
TOKENS = [ACT, 20, 21, 22]


def logits_at_once(case: Case, ids: list[int], mask: torch.Tensor | None = None) -> torch.Tensor:
    """Logits (positions, vocabulary) of all ids in one call, soft-capped as `Decoding` does."""
    tensor = torch.tensor([ids])
    with torch.no_grad():
        out = case.model(input_ids=tensor, attention_mask=torch.ones_like(tensor) if mask is None else mask)
    cap = case.model.config.text_config.final_logit_softcapping
    return cap * torch.tanh(out.logits[0].float() / cap)


def prefix_mask(prefix: int, length: int) -> torch.Tensor:
    """Explicit 4-D mask: the prefix in both directions, causal behind it."""
    visible = torch.tril(torch.ones(length, length)).bool()
    visible[:, :prefix] = True
    return torch.where(visible, 0.0, torch.finfo(torch.float32).min)[None, None]


def test_sdpa_ignores_the_attention_soft_cap() -> None:
    case = make_case(TEXT, 1)
    eager = reference_logits(case, LAYOUT, TOKENS)
    case.model.set_attn_implementation("sdpa")
    sdpa = reference_logits(case, LAYOUT, TOKENS)
    # The random model's scores are small beside a cap of 50, so the cap is lowered until it bends them.
    for layer in case.model.model.language_model.layers:
        layer.self_attn.attn_logit_softcapping = 1.0
    sdpa_capped = reference_logits(case, LAYOUT, TOKENS)
    case.model.set_attn_implementation("eager")
    eager_capped = reference_logits(case, LAYOUT, TOKENS)
    assert np.abs(sdpa_capped - sdpa).max() < 1e-4
    assert np.abs(eager_capped - eager).max() > 1e-2


def test_without_labels_the_whole_input_is_bidirectional() -> None:
    case = make_case(TEXT, 1)
    changed = [*TOKENS[:-1], 23]
    at_once, at_once_changed = logits_at_once(case, LAYOUT + TOKENS), logits_at_once(case, LAYOUT + changed)
    assert (at_once[len(LAYOUT)] - at_once_changed[len(LAYOUT)]).abs().max() > 1e-2
    # Fed behind the prefix, a later token changes no earlier logit.
    fed, fed_changed = reference_logits(case, LAYOUT, TOKENS), reference_logits(case, LAYOUT, changed)
    assert np.array_equal(fed[:-1], fed_changed[:-1])


def test_an_explicit_mask_gives_what_feeding_gives_and_hides_later_targets() -> None:
    case = make_case(TEXT, 1)
    mask = prefix_mask(len(LAYOUT), len(LAYOUT) + len(TOKENS))
    masked = logits_at_once(case, LAYOUT + TOKENS, mask)[len(LAYOUT) :]
    np.testing.assert_allclose(masked.numpy(), reference_logits(case, LAYOUT, TOKENS), atol=1e-4)
    changed = logits_at_once(case, [*LAYOUT, *TOKENS[:-1], 23], mask)[len(LAYOUT) :]
    assert torch.equal(masked[:-1], changed[:-1])


def test_paligemma_leaves_out_the_final_soft_cap_that_the_policy_is_trained_with() -> None:
    case = make_case(TEXT, 1)
    ids, _ = expand_layout(case, LAYOUT)
    with torch.no_grad():
        raw = case.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        case.model.config.text_config.final_logit_softcapping = 1e-3
        lowered = case.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    assert torch.equal(raw, lowered)


def test_paligemma_applies_no_window_to_the_prefix_but_its_cache_forgets_beyond_it() -> None:
    wide, narrow = build_model(TEXT, 1), build_model(replace(TEXT, sliding_window=4), 1)
    ids = torch.tensor([LAYOUT])
    with torch.no_grad():
        full = wide(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
        cut = narrow(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
    assert torch.equal(full.logits, cut.logits)
    kept = [layer.keys.shape[-2] for layer in cut.past_key_values.layers]
    assert kept[0] < len(LAYOUT) == kept[1]


def test_the_core_refuses_a_window_shorter_than_the_prefix(open_case: Open) -> None:
    opened = open_case(replace(DEFAULT, sliding_window=16), 1)
    import pytest

    from hyt.runtime import _core

    with pytest.raises(_core.CoreError, match="sliding window; expected at least the longest prefix"):
        opened.session()


def test_the_images_of_the_reference_are_normalised_as_the_core_does(open_case: Open) -> None:
    opened = open_case(DEFAULT, 1)
    values = pixel_values(opened.case.images)
    assert values.min() >= -1
    assert values.max() <= 1
    assert Decoding(opened.case, opened.case.layout(0, 3)).length == opened.case.patches + 3
