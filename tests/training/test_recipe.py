"""The learning rate runs by the part of the budget that is spent."""

from __future__ import annotations

import pytest

from hyt.errors import InputError
from hyt.training.recipe import Recipe


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    recipe = Recipe(learning_rate=1.0, warm_up=0.1, decay=0.4)
    assert recipe.rate(0.01) == pytest.approx(0.1)
    assert recipe.rate(0.1) == recipe.rate(0.6) == 1.0
    assert recipe.rate(0.8) == pytest.approx(0.51)
    assert recipe.rate(1.0) == pytest.approx(0.02)
    assert recipe.rate(1.5) == pytest.approx(0.02)


def test_a_budget_is_spent_in_steps_or_in_positions() -> None:
    assert Recipe(steps=200).spent(50, 12345) == 0.25
    assert Recipe(steps=200, positions=1000).spent(50, 750) == 0.75


@pytest.mark.parametrize("values", [{"steps": 0}, {"batch": 0}, {"learning_rate": -1.0}, {"warm_up": 0.7}])
def test_a_recipe_that_cannot_be_run_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="recipe; expected"):
        Recipe(**values)  # type: ignore[arg-type]
