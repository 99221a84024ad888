"""Seconds by rank become a cost in integer picoseconds, of shape (1,) where all ranks are alike."""

from __future__ import annotations

from math import isinf

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import PICOSECONDS, Bound, NodeCost, Picoseconds
from dagc.units import format_rate

FREE = NodeCost(np.zeros(1, dtype=np.int64), Bound.NONE, "0", "no work of its own")
"""A node that takes no time."""


def picoseconds(seconds: npt.NDArray[np.float64]) -> Picoseconds:
    """The nearest whole picoseconds, collapsed to shape (1,) where all ranks have the same."""
    whole = np.rint(seconds * PICOSECONDS).astype(np.int64)
    return whole[:1] if whole.shape[0] > 1 and bool(np.all(whole == whole[0])) else whole


def node_cost(seconds: npt.NDArray[np.float64], bound: Bound, formula: str, source: str) -> NodeCost:
    """A cost from seconds by rank."""
    return NodeCost(picoseconds(seconds), bound, formula, source)


def rate_text(rate: float, unit: str) -> str:
    """A rate for people; one that nobody stated limits nothing."""
    return f"unstated {unit}" if isinf(rate) else format_rate(rate, unit)
