"""The Pareto front: candidates of which no other is better in one objective and worse in none.

Vectors are of objectives of which less is better. A bound is a vector that its candidate cannot fall below, so what
dominates the bound strictly dominates the candidate, and the candidate need not be priced: neither is it on the front,
nor does it have the same vector as one that is. What may be best is tried first: by turns the candidates with the
lowest bound on GPU-seconds of a token, on TTFT, and on TPOT.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dagc.search.verdict import Vector

Vectors = npt.NDArray[np.float64]


def dominates(one: Vector, other: Vector) -> bool:
    """Whether one vector is worse in nothing, and better in something."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


class Front:
    """The vectors that nothing dominates so far, each once."""

    def __init__(self) -> None:
        self.vectors: list[Vector] = []

    def add(self, vector: Vector) -> None:
        """Take a vector in, and drop those that it dominates."""
        if vector in self.vectors or any(dominates(one, vector) for one in self.vectors):
            return
        self.vectors = [one for one in self.vectors if not dominates(vector, one)]
        self.vectors.append(vector)

    def dominated(self, bounds: Vectors) -> npt.NDArray[np.bool_]:
        """Which rows of bounds, shape (n, objectives), some vector of the front dominates."""
        found = np.zeros(len(bounds), dtype=bool)
        columns = np.ascontiguousarray(bounds.T)
        for vector in self.vectors:
            worse = np.logical_and.reduce([column >= value for column, value in zip(columns, vector, strict=True)])
            rows = np.flatnonzero(worse)
            found[rows] |= (bounds[rows] > np.array(vector)).any(axis=1)
        return found


def by_promise(bounds: Vectors, reach: int | None = None) -> npt.NDArray[np.int64]:
    """The order of rows of bounds by the best of their places: by GPU-seconds of a token, by TTFT, and by TPOT.

    Those with a place below `reach`, which are at least so many, or all of them; equal ones as they came.
    """
    reach = len(bounds) if reach is None else min(reach, len(bounds))
    gpus, ttft, tpot, throughput, _ = bounds.T
    each = gpus / np.where(throughput == 0, np.inf, -throughput)
    best = np.minimum.reduce([_places(by, reach) for by in (each, ttft, tpot)])
    first = np.flatnonzero(best < reach)
    return first[np.argsort(best[first], kind="stable")]


def _places(by: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.int64]:
    """The place of each when all are sorted, equal ones as they came; of those past `reach` no more than that."""
    places = np.full(len(by), len(by))
    first = np.arange(len(by))
    if reach < len(by):
        first = np.flatnonzero(by <= np.partition(by, reach)[reach])
    places[first[np.argsort(by[first], kind="stable")]] = np.arange(len(first))
    return places


def distance(vector: Vector, front: Sequence[Vector]) -> float:
    """By how much, as a share, a vector would have to be better in everything to be on the front: 0 for one that is.

    The largest factor by which one vector of the front is better in every objective, less 1. Signs go with each
    objective, so that a ratio above 1 is better in it.
    """
    return max((factor(vector, one) for one in front), default=1.0) - 1.0


def factor(vector: Vector, better: Vector) -> float:
    """The smallest ratio over the objectives that both have, 1 at least."""
    ratios = [_ratio(a, b) for a, b in zip(vector, better, strict=True) if a and b]
    return max(min(ratios, default=1.0), 1.0)


def _ratio(value: float, better: float) -> float:
    return better / value if value < 0 else value / better
