"""A function of whole numbers that is priced where it is asked for, and interpolated where that is exact enough.

Times of a step grow with its tokens in stretches that are affine, with jumps where a kernel takes one more tile of
rows; most jumps are behind a multiple of `TILE` rows, and so most nodes are pairs of such a multiple and the next
number. An interval is interpolated where its middle pair, priced too, is off by no more than `TOLERANCE`; else each
half is judged by itself. One jump in an interval is off by half of itself in the middle at least, so that what is
interpolated beside one is off by 2 x `TOLERANCE` at most. Two jumps may be half of an interval apart, where tiles of
experts fill, and leave its middle where it is: a wide one is judged by the middles of its halves too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

TILE = 64
TOLERANCE = 0.003
EXACT = 16
"""Up to here nothing is interpolated: few tokens visit a number of experts that grows in a curve."""


@dataclass(slots=True)
class Curve:
    """`price` is the function, of whole numbers from 0 on."""

    price: Callable[[int], int]
    _found: dict[int, int] = field(default_factory=dict[int, int])
    _is_affine: dict[tuple[int, int], bool] = field(default_factory=dict[tuple[int, int], bool])

    def at(self, number: int) -> float:
        """The function, at most 2 x `TOLERANCE` off."""
        low, high = around(number)
        while high - low > 1 and number not in (low, high):
            left, right = middle(low, high)
            affine = self._affine(low, high, left, right)
            low, high = (low, left) if number <= left else (right, high)
            if affine:
                break
        if number in (low, high):
            return float(self._at(number))
        return self._between(low, high, number)

    def _affine(self, low: int, high: int, left: int, right: int) -> bool:
        if (low, high) not in self._is_affine:
            points = {left, right}
            if high - low > TILE:
                points |= {middle(low, left)[1], middle(right, high)[0]}
            self._is_affine[low, high] = all(
                abs(self._between(low, high, one) - self._at(one)) <= TOLERANCE * self._at(one) for one in points
            )
        return self._is_affine[low, high]

    def _between(self, low: int, high: int, number: int) -> float:
        first, last = self._at(low), self._at(high)
        return first + (last - first) * (number - low) / (high - low)

    def _at(self, number: int) -> int:
        if number not in self._found:
            self._found[number] = self.price(number)
        return self._found[number]


def around(number: int) -> tuple[int, int]:
    """The interval that is judged first: a number up to `EXACT`, else the octave, from behind a multiple of `TILE`."""
    if number <= EXACT:
        return number, number
    high = 2 * EXACT
    while high < number:
        high *= 2
    return high // 2 + 1, high


def middle(low: int, high: int) -> tuple[int, int]:
    """The ends of both halves: a multiple of `TILE` and the next number, or one number where there is none between."""
    half = (low + high) // 2
    tile = (half + TILE // 2) // TILE * TILE
    return (tile, tile + 1) if low < tile < high - 1 else (half, half)
