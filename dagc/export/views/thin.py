"""Too many things for a picture: the first and the last ones are kept, those in the middle are folded into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Thinned(Generic[T]):
    """What is shown at either end, and what is not; `last` and `between` are empty where all is shown."""

    first: tuple[T, ...]
    between: tuple[T, ...]
    last: tuple[T, ...]

    @property
    def hidden(self) -> int:
        """How many are folded."""
        return len(self.between)


def thinned(things: Sequence[T], most: int) -> Thinned[T]:
    """At most so many of the things."""
    if len(things) <= most:
        return Thinned(tuple(things), (), ())
    tail = most // 2
    return Thinned(tuple(things[: most - tail]), tuple(things[most - tail : -tail]), tuple(things[-tail:]))
