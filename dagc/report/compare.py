"""Comparison of a stated figure with another number, no finer than the figure was stated.

A figure claimed exactly is right when the other number, rounded to the figure's own significant digits, is the figure.
Counts are exact. A number from the cost model is compared at three digits at most: more would judge a prediction by
noise. An inequality is met when it holds, or when both sides are the same at those digits and it is not strict.
"""

from __future__ import annotations

from math import isclose

from dagc.plan.workload import Figure
from dagc.units import Dimension

MODEL_DIGITS = 3
"""Digits to which a modelled figure is compared."""


def holds(actual: float, comparison: str, figure: Figure, digits: int | None = None) -> bool:
    """Whether `actual` is as `comparison figure` states; `digits` caps the figure's own."""
    same = same_at_digits(actual, figure, digits)
    match comparison:
        case "<":
            return actual < figure.value and not isclose(actual, figure.value, rel_tol=1e-12)
        case ">":
            return actual > figure.value and not isclose(actual, figure.value, rel_tol=1e-12)
        case "<=":
            return actual <= figure.value or same
        case ">=":
            return actual >= figure.value or same
        case _:
            return same


def same_at_digits(actual: float, figure: Figure, digits: int | None = None) -> bool:
    """Whether both are equal, rounded to the figure's significant digits (halves may go either way)."""
    if figure.unit == Dimension.COUNT:
        return isclose(actual, figure.value, rel_tol=1e-9)
    precision = min(figure.significant, digits or figure.significant)
    if precision == 0:
        return actual == figure.value
    if isclose(actual, figure.value, rel_tol=1e-9):
        return True
    step = 10.0 ** (_exponent(figure.value) - precision + 1)
    return abs(actual - _rounded(figure.value, precision)) <= step / 2 * (1 + 1e-9)


def meets(actual: float, comparison: str, required: float) -> bool:
    """Whether a number meets a requirement, exactly but for the last bits of the arithmetic."""
    if isclose(actual, required, rel_tol=1e-12):
        return comparison in ("<=", ">=", "=")
    match comparison:
        case "<" | "<=":
            return actual < required
        case ">" | ">=":
            return actual > required
        case _:
            return False


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".split("e")[1])


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")
