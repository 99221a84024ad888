"""SI values as text for a person, and a figure's value brought to the terms of another.

What is held against a stated figure is shown in the unit in which that figure was written, where it is of like size.

Two figures of one metric may differ in what they count over (a GPU, the deployment), in the tokens that they count,
or in being a share of the device's memory. `in_terms_of` converts where the plan says how, and gives None elsewhere.
"""

from __future__ import annotations

import re

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
