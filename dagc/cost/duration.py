"""Seconds by rank, or by copy and rank, become a cost in integer picoseconds, of the least shape that holds it."""

from __future__ import annotations

from functools import lru_cache, partial
from math import isinf

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import PICOSECONDS, Bound, NodeCost, Picoseconds, are_alike
from dagc.units import format_rate

FREE = NodeCost(np.zeros(1, dtype=np.int64), Bound.NONE, partial(str, 0), "no work of its own")
"""A node that takes no time."""


LONGEST = 2**62
"""Picoseconds that a duration is cut off at, 53 days: sums of such are not scheduled (`dagc.cost.reach`)."""


def whole_picoseconds(seconds: npt.NDArray[np.float64]) -> Picoseconds:
    """The nearest whole picoseconds."""
    whole = np.asarray(seconds * PICOSECONDS)
    np.minimum(whole, LONGEST, out=whole)
    return np.rint(whole, out=whole).astype(np.int64)


def narrowed(whole: Picoseconds) -> Picoseconds:
    """The same by copy and rank, of width 1 where all ranks have the same, and without copies where these have."""
    if whole.shape[0] > 1 and are_alike(whole, whole[:1]):
        whole = whole[:1]
    if whole.shape[1] > 1 and are_alike(whole, whole[:, :1]):
        whole = whole[:, :1]
    return whole[0] if whole.shape[0] == 1 else whole


@lru_cache(maxsize=256)
def rate_text(rate: float, unit: str) -> str:
    """A rate for people; one that nobody stated limits nothing. Kept, because a cluster has few of them."""
    return f"unstated {unit}" if isinf(rate) else format_rate(rate, unit)
