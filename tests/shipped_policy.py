"""Sessions that act on the shipped policy, with the core's settings as a test wants them."""

from __future__ import annotations

from pathlib import Path

from hyt.runtime import _core
from hyt.runtime.bundle import Bundle

CHECKPOINT = Path(__file__).parents[1] / "policies" / "metaworld-arm"


def session(bundle: Bundle, **settings: object) -> _core.Session:
    contract = bundle.contract
    asked: dict[str, object] = {
        "threads": 1,
        "image_count": len(contract.cameras),
        "max_text_tokens": contract.max_text_positions(),
        "max_thought_tokens": 0,
        "action_tokens": contract.action.tokens,
        "action_token_ids": list(contract.action.token_ids),
        "thought_suppressed_ids": [],
        "thought_end_id": 0,
        **settings,
    }
    return _core.Session(str(bundle.language), str(bundle.vision), **asked)  # type: ignore[arg-type]
