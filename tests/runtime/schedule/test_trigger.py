"""When a thought is asked for."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from hyt.runtime.schedule.options import Thinking
from hyt.runtime.schedule.trigger import Trigger


def asked(thinking: Thinking, turns: list[tuple[float, float | None, bool]], threshold: float = math.inf) -> list[int]:
    """Decisions, from 1, at which a thought was asked for, each begun at once; turns: time, gate, demand."""
    trigger, found = Trigger(thinking, threshold), []
    for index, (now, probability, demanded) in enumerate(turns, 1):
        trigger.decided(index, now, probability, demanded)
        if trigger.asked:
            trigger.begun()
            found.append(index)
    return found


def test_never_asks_for_what_a_user_does_not_demand() -> None:
    assert asked(Thinking(), [(0.1 * turn, 0.9, turn == 3) for turn in range(6)]) == [4]


def test_every_third_decision_from_the_first_on() -> None:
    assert asked(Thinking("every", every=3), [(0.1 * turn, None, False) for turn in range(8)]) == [1, 4, 7]


def test_a_gate_asks_where_its_probability_reaches_the_threshold() -> None:
    probabilities = [0.2, 0.5, None, 0.7, 0.49]
    assert asked(Thinking("gate"), [(0.0, p, False) for p in probabilities], threshold=0.5) == [2, 4]


def test_a_gates_word_is_for_its_own_decision_and_a_users_stays() -> None:
    trigger = Trigger(Thinking("gate"), 0.5)
    trigger.decided(1, 0.0, 0.9, False)
    trigger.decided(2, 0.1, 0.1, False)
    assert not trigger.asked
    trigger.decided(3, 0.2, 0.1, True)
    trigger.decided(4, 0.3, 0.1, False)
    assert trigger.asked


@given(st.floats(1, 400), st.floats(0.01, 0.1))
def test_a_rate_is_kept_over_time_whatever_the_period(rate: float, period: float) -> None:
    turns = 1000
    found = asked(Thinking("rate", rate=rate), [(turn * period, None, False) for turn in range(turns)])
    wanted = min((turns - 1) * period * rate / 60, turns - 1) + 1
    assert abs(len(found) - wanted) <= 1 + 1e-6 * wanted


def test_beats_that_were_missed_stay_missed() -> None:
    late = [(0.0, None, False), (10.0, None, False), (10.1, None, False), (10.2, None, False), (10.9, None, False)]
    assert len(asked(Thinking("rate", rate=60), late)) <= 3
