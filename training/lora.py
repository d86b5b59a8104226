"""Low-rank adapters (peft) on the decoder of a vision-language model, beside the rows of its control tokens."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from hyt.errors import InputError
from hyt.runtime.contract import Contract

TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


class Lora:
    """A model with adapters in place; only they and the rows of tags, state and actions are trained."""

    def __init__(self, model: Any, contract: Contract, rank: int, seed: int) -> None:
        if rank < 1:
            raise InputError("LoRA rank", expected="at least 1", received=str(rank))
        tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
        model.config.tie_word_embeddings = tied  # peft goes by this, transformers by the decoder's own
        config = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            target_modules=TARGETS,
            trainable_token_indices={"embed_tokens": control_ids(contract)},
            modules_to_save=None if tied else ["lm_head"],
        )
        torch.manual_seed(seed)  # of the adapters' first weights
        self._peft: Any = get_peft_model(model, config)

    @property
    def model(self) -> Any:
        """The model, to be trained."""
        return self._peft.get_base_model()

    def merge(self) -> None:
        """Add the adapters into the weights of `model`, in place; ends the training."""
        self._peft.merge_and_unload()


def control_ids(contract: Contract) -> list[int]:
    """Ids of tags, the thought's end, actions and state bins."""
    tags, state = contract.modalities, contract.state
    ids = {id for id in (tags.act, tags.think, tags.follow) if id is not None} | set(contract.action.token_ids)
    if contract.thought is not None:
        ids.add(contract.thought.end_id)
    if state is not None:
        ids |= set(range(state.first_token_id, state.first_token_id + state.bins))
    return sorted(ids)
