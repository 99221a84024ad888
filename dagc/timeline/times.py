"""What a time is: a number where all ranks of a team have it in common, else a vector by rank.

Most operators run at the same moment on every rank of their team, as they do after an exchange that holds all of them;
such a time stays a number until ranks differ. No vector has one entry alone.
"""

from __future__ import annotations

import numpy as np

from dagc.graph.priced import Picoseconds

Time = int | Picoseconds
"""A time of all ranks of a team."""


def latest(time: Time) -> int:
    """The time of the last rank."""
    return time if isinstance(time, int) else int(np.maximum.reduce(time, axis=None))


def earliest(time: Time) -> int:
    """The time of the first rank."""
    return time if isinstance(time, int) else int(np.minimum.reduce(time, axis=None))


def at(time: Time, rank: int) -> int:
    """The time of one rank."""
    return time if isinstance(time, int) else time.item(rank)


def later(one: Time, other: Time) -> Time:
    """The later of two times, by rank."""
    if isinstance(one, int) and isinstance(other, int):
        return one if one >= other else other
    return one if one is other else np.maximum(one, other)


def moved(time: Time, by: Time) -> Time:
    """A time, later."""
    return time if isinstance(by, int) and by == 0 else time + by


def slowest(time: Time) -> int:
    """The first rank whose time is the latest."""
    return 0 if isinstance(time, int) else int(time.argmax())
