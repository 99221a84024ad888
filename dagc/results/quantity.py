"""Stated figures beside other numbers: as text in the same terms, and compared no finer than they were stated.

What is held against a stated figure is shown in the unit in which that figure was written, where it is of like size.
Two figures of one metric may differ in what they count over (a GPU, the deployment), in the tokens that they count, or
in being a share of the device's memory. `in_terms_of` converts where the plan says how, and gives None elsewhere.

A figure claimed exactly is right when the other number, rounded to the figure's own significant digits, is the figure.
Counts are exact. A number from the cost model is compared at three digits at most: more would judge a prediction by
noise. An inequality is met when it holds, or when both sides are the same at those digits and it is not strict.
"""

from __future__ import annotations

import re
from math import isclose

from dagc.plan.workload import Figure, Per
from dagc.units import Dimension, format_bytes, format_rate, format_seconds, format_share

SMALLEST, LARGEST = 0.01, 1e7
"""Numbers outside are shown in another unit than the one written."""


def figure_text(value: float, like: Figure, digits: int | None = None) -> str:
    """A value in the terms of a figure, in the unit in which that is written: `9600 tokens/ms` beside `9700 tokens/ms`.

    `digits` significant ones, or as many as the figure has and at least three.
    """
    written = re.match(r"(-?[\d_.]+(?:[eE][+-]?\d+)?)(.*)", like.text)
    number = float(written[1].replace("_", "")) if written else 0.0
    shown = value * number / like.value if like.value else 0.0
    if written is None or like.unit == Dimension.COUNT or not SMALLEST <= abs(shown) < LARGEST:
        return quantity_text(value, like.unit, like.per, like.kind)
    return f"{float(f'{shown:.{digits or max(3, like.significant)}g}'):.15g}{written[2]}"


def quantity_text(value: float, unit: str, per: Per = Per.DEPLOYMENT, kind: str = "") -> str:
    """A value with its unit as the language writes it: `1.15 GB`, `10 tokens/ms per gpu` as `10 K tokens/s per gpu`."""
    suffix = " per gpu" if per is Per.GPU and unit == Dimension.TOKEN_RATE else ""
    match unit:
        case Dimension.BYTES:
            return format_bytes(value)
        case Dimension.SECONDS:
            return format_seconds(value)
        case Dimension.SHARE:
            return format_share(value)
        case Dimension.RATIO:
            return f"{float(f'{value:.3g}'):g} x"
        case Dimension.FLOP_RATE:
            return format_rate(value, "flop/s")
        case Dimension.TOKEN_RATE:
            return format_rate(value, f"{kind} tokens/s".lstrip()) + suffix
        case _:
            return str(round(value)) if value == round(value) else f"{value:.3g}"


def in_terms_of(figure: Figure, like: Figure, gpus: int, capacity_bytes: float) -> float | None:
    """`figure.value` counted as `like` is; None where the two count different tokens or dimensions."""
    if figure.kind and like.kind and figure.kind != like.kind:
        return None
    value = _in_unit(figure, like.unit, capacity_bytes)
    if value is None or figure.unit != Dimension.TOKEN_RATE or figure.per is like.per:
        return value
    return value / gpus if like.per is Per.GPU else value * gpus


def _in_unit(figure: Figure, unit: str, capacity_bytes: float) -> float | None:
    if figure.unit == unit:
        return figure.value
    if figure.unit == Dimension.BYTES and unit == Dimension.SHARE:
        return figure.value / capacity_bytes
    if figure.unit == Dimension.SHARE and unit == Dimension.BYTES:
        return figure.value * capacity_bytes
    return None


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


def satisfies(actual: float, comparison: str, required: float) -> bool:
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
