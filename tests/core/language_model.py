"""The language part of a random checkpoint alone, under a causal mask."""

from __future__ import annotations

from checkpoints import Shape, build_model
from transformers import Gemma2ForCausalLM


def causal_model(shape: Shape, seed: int) -> Gemma2ForCausalLM:
    """The language part of a random model alone."""
    whole = build_model(shape, seed)
    model = Gemma2ForCausalLM(whole.config.text_config)
    model.set_attn_implementation("eager")
    model.model.load_state_dict(whole.model.language_model.state_dict())
    model.tie_weights()
    return model.eval()
