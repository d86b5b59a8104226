"""The allocation of types within a budget against trying everything, and what a budget may be."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hyt.errors import InputError
from hyt.export.families.base import TensorPlan
from hyt.export.quantization.mixed import FREE, Budget, Option, allocate, count_weights, units_of


def plan(name: str, rows: int, columns: int) -> TensorPlan:
    return TensorPlan(name, name, (rows, columns), "linear", "g")


def random_options(seed: int, units: int = 5) -> list[Option]:
    random = np.random.default_rng(seed)
    options = []
    for unit in range(units):
        size, error = random.integers(50, 500), random.lognormal(0, 2)
        options += [
            Option(f"u{unit}", f"q{bits}", int(size * bits), float(error * 4.0**-bits)) for bits in (3, 4, 5, 8)
        ]
    return options


def totals(chosen: dict[str, Option]) -> tuple[int, float]:
    return sum(o.bytes for o in chosen.values()), sum(o.error for o in chosen.values())


@pytest.mark.parametrize("seed", range(8))
def test_a_budget_is_kept_and_nearly_as_well_spent_as_can_be(seed: int) -> None:
    options = random_options(seed)
    by_unit = [[o for o in options if o.unit == f"u{unit}"] for unit in range(5)]
    smallest, largest = (sum(pick(o.bytes for o in unit) for unit in by_unit) for pick in (min, max))
    for limit in np.linspace(smallest, largest, 7).astype(int).tolist():
        size, error = totals(allocate(options, limit))
        best = min(sum(o.error for o in pick) for pick in product(*by_unit) if sum(o.bytes for o in pick) <= limit)
        assert size <= limit
        assert error <= 2 * best + 1e-12


def test_the_order_of_the_options_changes_nothing() -> None:
    options = random_options(3)
    assert allocate(options, 9000) == allocate(options[::-1], 9000)


def test_bytes_that_buy_nothing_are_not_spent() -> None:
    options = [Option("a", "q4_0", 10, 1.0), Option("a", "q5_0", 12, 1.0), Option("a", "q8_0", 20, 2.0)]
    assert allocate(options, 100)["a"].type == "q4_0"


def test_a_budget_below_the_smallest_types_is_refused_with_what_they_take() -> None:
    with pytest.raises(InputError, match="budget; expected at least 10 bytes for the matrices; received 9 bytes"):
        allocate([Option("a", "q4_0", 10, 1.0)], 9)


def test_units_share_types_that_all_their_rows_divide_into() -> None:
    plans = [plan("q", 8, 256), plan("k", 4, 256), plan("down", 8, 96), plan("odd", 3, 10)]
    norm = TensorPlan("norm", "norm", (8,), "fixed", "g")
    names = {"q": "q", "k": "q", "down": "down", "odd": "odd"}
    units = units_of([*plans, norm], names, {"down": "q8_0"})
    assert [(unit.name, len(unit.plans)) for unit in units] == [("q", 2), ("down", 1), ("odd", 1)]
    assert "q3_k" in units[0].types
    assert (units[1].types, units[2].types) == (("q8_0",), (FREE,))
    assert units[0].bytes("q4_0") == 12 * 8 * 18
    assert count_weights([*plans, norm]) == 12 * 256 + 8 * 96 + 30 + 8


@pytest.mark.parametrize(
    ("size", "bits", "message"),
    [
        (None, None, "either a size or bits per weight"),
        (1000, 4.5, "either a size or bits per weight"),
        (0, None, "at least 1 byte"),
        (None, 0.0, "0 to 32"),
        (None, 33.0, "0 to 32"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused(size: int | None, bits: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Budget(size, bits)


def test_bits_per_weight_are_bytes_of_all_weights() -> None:
    assert Budget(bits_per_weight=4.5).limit(1600) == 900
    assert Budget(bytes=7).limit(1600) == 7
