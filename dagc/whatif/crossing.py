"""Where the sign of something changes over whole numbers: bisection from a ladder, and a look around each place found.

Knows nothing of plans. What changes sign twice between two rungs of the ladder, and nowhere near a place that is found,
is not seen; a figure over the batch moves in steps as ranks fill, so near a break-even it may well change more than
once, and that is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import pairwise
from typing import TypeVar

Sign = TypeVar("Sign", bound=Hashable)
"""What may change."""

MOST_POINTS = 120
"""Places that are looked at in all; past them changes may be left unlocated, and are then not reported."""


def ladder(low: int, high: int) -> tuple[int, ...]:
    """Whole numbers from `low` to `high`, both included: powers of two and half as much again between them."""
    rungs = {low, high}
    power = 1
    while power <= high:
        rungs |= {power, power + power // 2}
        power *= 2
    return tuple(sorted(rung for rung in rungs if low <= rung <= high))


def located(known: Mapping[int, Sign], look: Callable[[int], Sign]) -> dict[int, Sign]:
    """What is known and as much more as shows each change between neighbours, x and x + 1.

    Around each change found, places at distances 1, 2, 4, ... up to the rungs beside it are looked at too.
    """
    found = dict(known)
    rungs = sorted(known)
    while len(found) < MOST_POINTS:
        missing = [*_halves(found)] or [*_around(found, rungs)]
        if not missing:
            break
        for place in missing[: MOST_POINTS - len(found)]:
            found[place] = look(place)
    return found


def changes(found: Mapping[int, Hashable]) -> tuple[int, ...]:
    """Places at which something else is found than one step before."""
    return tuple(b for a, b in pairwise(sorted(found)) if b == a + 1 and found[a] != found[b])


def _halves(found: Mapping[int, Hashable]) -> Iterator[int]:
    for a, b in pairwise(sorted(found)):
        if found[a] != found[b] and b - a > 1:
            yield (a + b) // 2


def _around(found: Mapping[int, Hashable], rungs: list[int]) -> Iterator[int]:
    """Places near changes that are not looked at yet."""
    seen: set[int] = set()
    for place in changes(found):
        low = max((rung for rung in rungs if rung < place), default=place)
        high = min((rung for rung in rungs if rung >= place), default=place)
        distance = 1
        while distance <= max(high - place, place - low):
            near = {place - 1 - distance, place + distance} - seen - found.keys()
            fitting = sorted(one for one in near if low < one < high)
            seen |= set(fitting)
            yield from fitting
            distance *= 2
