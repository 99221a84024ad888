"""The nearest sizes that an engine can express.

Stages, copies and GPUs stay as they are; what changes is how the ranks of a stage are cut. Near is by factors: the sum
over the six degrees of how many times one is the other, as logarithms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import isqrt, log2

from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Engine

_MOST = 20_000
"""Pairs of cuts that are tried before the search gives up: it has found by then, but for widths of many divisors."""


def nearest(engine: Engine, sizes: Parallelism) -> Parallelism | None:
    """The expressible sizes nearest to these; None where there are none within reach."""
    cuts = list(_cuts(sizes.attention.width))
    attention = _sorted((Degrees(tp=tp, cp=cp, dp=dp) for tp, cp, dp in cuts), sizes.attention)
    experts: Sequence[Degrees | None] = [None]
    if sizes.experts:
        experts = _sorted((Degrees(tp=tp, ep=ep, dp=dp) for tp, ep, dp in cuts), sizes.experts)
    best, shortest = None, float("inf")
    for tried, (one, other) in enumerate(_pairs(attention, experts)):
        distance = _distance(one, sizes.attention) + _distance(other, sizes.experts)
        if tried > _MOST:
            break
        if distance < shortest - 1e-9:
            found = replace(sizes, attention=one, experts=other)
            if not isinstance(engine.settings_of(found), str):
                best, shortest = found, distance
    return best


def _pairs(attention: Sequence[Degrees], experts: Sequence[Degrees | None]) -> Iterator[tuple[Degrees, Degrees | None]]:
    """Pairs in diagonals, so that those near in both come early."""
    for diagonal in range(len(attention) + len(experts) - 1):
        for i in range(max(0, diagonal - len(experts) + 1), min(diagonal + 1, len(attention))):
            yield attention[i], experts[diagonal - i]


def _sorted(cuts: Iterable[Degrees], wanted: Degrees) -> Sequence[Degrees]:
    """Cuts from the nearest on."""
    return sorted(cuts, key=lambda cut: _distance(cut, wanted))


def _cuts(width: int) -> Iterator[tuple[int, int, int]]:
    """All ways to write a width as a product of three."""
    for first in _divisors(width):
        for second in _divisors(width // first):
            yield first, second, width // first // second


def _divisors(number: int) -> list[int]:
    low = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return sorted({*low, *(number // d for d in low)})


def _distance(one: Degrees | None, other: Degrees | None) -> float:
    if one is None or other is None:
        return 0.0
    pairs = (one.tp, other.tp), (one.cp, other.cp), (one.ep, other.ep), (one.dp, other.dp)
    return sum(abs(log2(a / b)) for a, b in pairs)
