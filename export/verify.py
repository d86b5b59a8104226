"""Loads a bundle as a robot would and lets it act once on a synthetic observation, before anyone can see the bundle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyt.errors import BundleError, InputError
from hyt.runtime.contract import Contract
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy, load

SEED = 0
MOST_COPIED = 2**30
"""Bytes of weights; what is larger is left in its files, so that an export takes little memory whatever it writes."""


def verify_bundle(path: Path, threads: int, backends: Sequence[str] = ("core",)) -> dict[str, Any]:
    """What was checked, for the report; raises BundleError when the bundle does not load or its action is not usable.

    Each backend acts once. The record holds nothing that a thread count or a processor changes: the same export gives
    the same bytes.
    """
    size = sum(file.stat().st_size for file in path.glob("*.gguf"))
    said: dict[str, int] = {}
    for backend in backends:
        mapped = backend == "core" and size > MOST_COPIED
        with load(path, threads=threads, backend=backend, mapped=mapped, speculate="off", warm_up=False) as policy:
            said = _act_once(policy, path)
    found = {"observation": f"uniform noise, seed {SEED}", "mode": "act", **said, "finite": True}
    return {**found, "backends": list(backends)}


def _act_once(policy: Policy, path: Path) -> dict[str, int]:
    policy.reset(instruction=_some_text(policy))
    chunk = policy.act(_synthetic_observation(policy.contract))
    action = policy.contract.action
    tokens = [] if chunk.tokens is None else chunk.tokens.tolist()
    strangers = sorted(set(tokens) - set(action.token_ids))
    if strangers or len(tokens) != action.tokens:
        raise BundleError(
            f"{path.name}: verification",
            expected=f"{action.tokens} action tokens",
            received=f"{len(tokens)} tokens, of them {len(strangers)} other ids",
        )
    if not np.isfinite(chunk.values).all() or not math.isfinite(chunk.confidence or 0.0):
        raise BundleError(
            f"{path.name}: verification",
            expected="a finite action",
            received="NaN or infinity",
            remedy="the weights overflow: export with --quantization f32",
        )
    if chunk.think_probability is not None and not np.isfinite(chunk.think_probability):
        raise BundleError(f"{path.name}: gate", expected="a finite probability", received="NaN")
    return {"action_tokens": action.tokens} if action.kind == "tokens" else {"action_values": action.size}


def _synthetic_observation(contract: Contract) -> Observation:
    generator = np.random.default_rng(SEED)
    images = {c.name: generator.integers(0, 256, c.shape, dtype=np.uint8) for c in contract.cameras}
    dimensions = contract.state.dimensions if contract.state else ()
    return Observation(images, [(d.low + d.high) / 2 for d in dimensions])


def _some_text(policy: Policy) -> str:
    """A text the policy can read: its first instruction, or the first token of its tokenizer that is one."""
    if policy.contract.instructions:
        return policy.contract.instructions[0]
    for id in range(policy.contract.vocab_size):
        text = policy.prompt.decode([id])
        try:
            policy.prompt.encode(text)
        except InputError:
            continue
        return text
    raise BundleError("tokenizer.json", expected="at least one token of text", received="none")
