"""PyTorch in float32, for scale: transformers' own decoder of the same shape, with random weights."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from transformers import DynamicCache, Gemma2Config, Gemma2ForCausalLM

from contestants.case import Answer, Case, frame
from contestants.pytorch_vision import Vision, is_siglip
from hyt.runtime.bundle import open_bundle
from hyt.runtime.manifest import TextShapes


class PyTorch:
    """settings: threads; language (false: no decoder, for a machine that cannot hold one).

    Weights do not change the time, so its tokens are others' and are not compared.
    """

    def __init__(self, case: Case, threads: int, language: bool = True) -> None:
        torch.set_num_threads(threads)
        shapes = open_bundle(case.bundle).manifest.shapes
        self._case = case
        self._vision = Vision(shapes.vision).eval() if is_siglip(shapes.vision) else None
        self._rows = torch.tensor(case.action_ids)
        if language:
            self._model = _decoder(shapes.text)
        self._language = language

    def act(self, prefix: list[int]) -> Answer:
        """The action tokens behind this prefix and the tag."""
        return self._generate(prefix, self._case.action_tokens, self._rows)

    def think(self, prefix: list[int]) -> Answer:
        """As many tokens as the case's thought has."""
        return self._generate(prefix, self._case.thought, None)

    @torch.inference_mode()
    def whole(self, prefix: list[int]) -> Answer:
        """From new images to action tokens, as far as it has the parts; embeddings stand for the image tokens."""
        images = frame(self._case, prefix)
        start = time.perf_counter()
        if self._vision is not None:
            self._vision(images)
        seen = time.perf_counter() - start
        answer = self.act(prefix) if self._language else Answer([])
        return replace(answer, vision=None if self._vision is None else seen)

    @torch.inference_mode()
    def _generate(self, prefix: list[int], count: int, rows: torch.Tensor | None) -> Answer:
        start = time.perf_counter()
        cache = DynamicCache()
        size = len(prefix)
        mask = {} if self._case.causal else {"attention_mask": torch.zeros(1, 1, size, size)}
        self._model(torch.tensor([prefix]), past_key_values=cache, logits_to_keep=1, **mask)
        filled = time.perf_counter()
        tokens, token = [], self._case.tag
        for _ in range(count):
            logits = self._model(torch.tensor([[token]]), past_key_values=cache).logits[0, -1]
            token = int(logits.argmax()) if rows is None else int(rows[logits[rows].argmax()])
            tokens.append(token)
        return Answer(tokens, filled - start, time.perf_counter() - filled)


def _decoder(text: TextShapes) -> Gemma2ForCausalLM:
    config = Gemma2Config(
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        num_key_value_heads=text.kv_heads,
        head_dim=text.head_dim,
        query_pre_attn_scalar=text.attention_scale**-2,
        attn_logit_softcapping=text.attention_softcap,
        final_logit_softcapping=text.final_softcap,
    )
    with torch.device("meta"):
        model = Gemma2ForCausalLM(config)
    model = model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02)
    for name, buffer in model.named_buffers():
        if name.endswith("inv_freq"):
            steps = torch.arange(0, text.head_dim, 2, dtype=torch.float32) / text.head_dim
            buffer.data.copy_(text.rope_theta**-steps)
    model.tie_weights()
    return model.eval()
