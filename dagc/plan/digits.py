"""How finely a figure was written: its significant digits, and what the last of them is worth."""

from __future__ import annotations

import re
from math import floor, log10

TOLERANCE = 0.01
"""Share of the right figure by which a stated one may differ: those in the names of models are rounded or cut."""


def significant_digits(text: str) -> int:
    """Significant digits of a number as written: 3 of `1.15`, 2 of `0.010`, 5 of `20000`, none of `0.0`.

    Zeros before the first other digit do not count; zeros after it do, because the writer chose to write them.
    """
    written = re.match(r"-?([\d_.]+)", text)
    digits = re.sub(r"[_.]", "", written[1]) if written else ""
    return len(digits.lstrip("0"))


def last_digit(text: str, value: float) -> float:
    """What one unit of the last written digit of a positive figure is worth: 1e9 for `10 B` of value 1e10.

    `text` may hold words before the number.
    """
    number = re.search(r"\d[\d_.]*", text)
    digits = significant_digits(number[0]) if number else 0
    return 10.0 ** (floor(log10(value)) - digits + 1) if digits and value > 0 else 0.0


def agrees(text: str, given: float, right: float) -> bool:
    """Whether a figure given in `text` is the right one, up to `TOLERANCE` or one unit of its last written digit."""
    return abs(right - given) <= max(TOLERANCE * right, last_digit(text, given))
