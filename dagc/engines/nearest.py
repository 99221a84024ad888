"""The nearest sizes that an engine can express, and how the language writes sizes.

Stages, copies and GPUs stay as they are; what changes is how the ranks of a stage are cut. Near is by factors: the sum
over the six degrees of how many times one is the other, as logarithms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isqrt, lcm, log2

from dagc.degrees import Degrees, Parallelism
from dagc.engines.counting import settings_of_sizes
from dagc.engines.profiles import Profile

Cut = tuple[int, int, int]

_MOST = 20_000
"""Pairs of cuts that are tried before the search gives up: it has found by then, but for widths of many divisors."""


def nearest(profile: Profile, sizes: Parallelism) -> Parallelism | None:
    """The expressible sizes nearest to these; None where there are none within reach."""
    attention = sorted(_cuts(sizes.attention.width), key=lambda cut: _distance(cut, _of_attention(sizes)))
    experts = _expert_cuts(sizes)
    best, shortest = None, float("inf")
    for tried, (near, far) in enumerate(_pairs(attention, experts)):
        distance = _distance(near, _of_attention(sizes)) + _distance(far, _of_experts(sizes))
        if tried > _MOST:
            break
        if distance < shortest - 1e-9:
            found = _with(sizes, near, far)
            if not isinstance(settings_of_sizes(profile, found), str):
                best, shortest = found, distance
    return best


def _pairs(attention: list[Cut], experts: list[Cut]) -> Iterator[tuple[Cut, Cut]]:
    """Pairs in diagonals, so that those near in both come early."""
    for diagonal in range(len(attention) + len(experts) - 1):
        for i in range(max(0, diagonal - len(experts) + 1), min(diagonal + 1, len(attention))):
            yield attention[i], experts[diagonal - i]


def _expert_cuts(sizes: Parallelism) -> list[Cut]:
    if sizes.experts is None:
        return [(1, 1, 1)]
    return sorted(_cuts(sizes.attention.width), key=lambda cut: _distance(cut, _of_experts(sizes)))


def _cuts(width: int) -> Iterator[Cut]:
    """All ways to write a width as a product of three."""
    for first in _divisors(width):
        for second in _divisors(width // first):
            yield first, second, width // first // second


def _divisors(number: int) -> list[int]:
    low = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return sorted({*low, *(number // d for d in low)})


def _distance(one: Cut, other: Cut) -> float:
    return sum(abs(log2(a / b)) for a, b in zip(one, other, strict=True))


def _of_attention(sizes: Parallelism) -> Cut:
    return sizes.attention.tp, sizes.attention.cp, sizes.attention.dp


def _of_experts(sizes: Parallelism) -> Cut:
    return (1, 1, 1) if sizes.experts is None else (sizes.experts.tp, sizes.experts.ep, sizes.experts.dp)


def _with(sizes: Parallelism, attention: Cut, experts: Cut) -> Parallelism:
    cut = None if sizes.experts is None else Degrees(tp=experts[0], ep=experts[1], dp=experts[2])
    return replace(sizes, attention=Degrees(tp=attention[0], cp=attention[1], dp=attention[2]), experts=cut)


def strategy_text(sizes: Parallelism) -> str:
    """A strategy with these sizes: `pp 4 < ep 16 ; tp 2 >`. What fills a domain by itself is left out."""
    text = _stage(sizes)
    text = f"pp {sizes.stages} < {text} >" if sizes.stages > 1 else text
    return f"dp {sizes.replicas} < {text} >" if sizes.replicas > 1 else text


def _stage(sizes: Parallelism) -> str:
    attention, experts = sizes.attention, sizes.experts
    degrees = [("dp", attention.dp), ("cp", attention.cp), ("tp", attention.tp)]
    if experts is None:
        return f"attn < {_nested(degrees)} >" if attention.dp > 1 else _nested(degrees[1:])
    if experts.ep == 1:
        if (attention.tp, experts.tp) == (attention.width, attention.width):
            return _nested(degrees[2:])
        filled = experts.dp == 1 or lcm(experts.tp, attention.cp * attention.tp) == attention.width
        claim = f"moe < tp {experts.tp} >"
    else:
        filled = lcm(experts.ep * experts.tp, attention.cp * attention.tp) == attention.width
        claim = _nested([("ep", experts.ep), ("tp", experts.tp)])
        if experts.ep == attention.dp == attention.width:
            return claim
    return f"{claim} ; {_nested(degrees[1:] if filled else degrees)}"


def _nested(degrees: list[tuple[str, int]]) -> str:
    """Axes one inside the other, degrees of 1 left out; `tp 1` where that leaves nothing."""
    written = [f"{axis} {degree}" for axis, degree in degrees if degree > 1] or ["tp 1"]
    return " < ".join(written) + " >" * (len(written) - 1)
