"""Comparison at the digits that were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagc.plan.workload import Figure
from dagc.results.quantity import holds, same_at_digits, satisfies
from dagc.source import Source
from dagc.units import significant_digits

PLACE = Source("c", "").span(0, 0)


def figure(text: str, unit: str = "seconds", scale: float = 1.0) -> Figure:
    return Figure(float(text) * scale, unit, text, PLACE, significant=significant_digits(text))


@given(st.floats(1e-6, 1e12), st.integers(1, 9))
def test_whatever_is_rounded_is_still_true(value: float, digits: int) -> None:
    assert same_at_digits(value, figure(f"{value:.{digits - 1}e}"))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_counts_are_exact(actual: int, claimed: int) -> None:
    assert same_at_digits(actual, figure(str(claimed), "count")) is (actual == claimed)


@pytest.mark.parametrize(
    ("actual", "text", "same"),
    [
        (1.1514, "1.15", True),
        (1.1514, "1.151", True),
        (1.1514, "1.152", False),
        (1.1514, "1.2", True),
        (1.1514, "1", True),
        (1.1514, "1.1", False),
        (0.017991, "0.018", True),
        (20012.0, "20000", False),
    ],
)
def test_a_figure_is_compared_at_its_own_digits(actual: float, text: str, same: bool) -> None:
    assert same_at_digits(actual, figure(text)) is same


def test_a_model_is_compared_at_three_digits_at_most() -> None:
    """20,012 and 20,000 are both 2.00 × 10⁴."""
    assert holds(20012.0, "=", figure("20000"), digits=3)
    assert not holds(20112.0, "=", figure("20000"), digits=3)


def test_requirements_are_met_exactly() -> None:
    assert satisfies(10.0, "<=", 10.0) and not satisfies(10.0, "<", 10.0)
    assert not satisfies(10.001, "<=", 10.0)
    assert satisfies(0.1 + 0.2, "<=", 0.3)
