"""What a session that guesses tells of itself, and that its actions are those of one that does not."""

from __future__ import annotations

import numpy as np

from hyt.runtime import _core


def facts(session: _core.Session) -> dict[str, object]:
    told = session.info()["speculation"]
    assert isinstance(told, dict)
    return told


def check_same(expected: _core.ActResult, received: _core.ActResult, session: _core.Session) -> None:
    assert received.tokens.tolist() == expected.tokens.tolist()
    assert received.think_probability == expected.think_probability or not facts(session)["exact"]
    if facts(session)["exact"]:
        assert received.probabilities.tobytes() == expected.probabilities.tobytes()
    else:
        np.testing.assert_allclose(received.probabilities, expected.probabilities, rtol=0.05)
