"""Candidates with their bounds, and the order in which they are tried.

Every candidate begins with a first bound, which costs little; it is refined to a precise one when its turn comes.
What may be best comes first: by turns the candidates with the lowest bound on GPU-seconds of a token, on TTFT, and on
TPOT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.search.bounds import Bound
from dagc.search.candidate import Candidate
from dagc.search.front import Vectors
from dagc.search.verdict import OBJECTIVES

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Candidates and their bounds, shape (candidates, objectives).

    `misses` says by how much each misses a requirement at least, and `names` which; 0 and empty where none is missed.
    `is_precise` says whose bound cannot be refined.
    """

    candidates: Sequence[Candidate]
    bounds: Vectors
    misses: npt.NDArray[np.float64]
    names: list[str]
    is_precise: Mask

    def by_promise(self, rows: Rows, count: int) -> Rows:
        """Rows by the best of their places in three orders; equal ones as they came.

        So many of the first that `count` of them are not precise, where there are.
        """
        bounds, is_vague = self.bounds[rows], ~self.is_precise[rows]
        reach, wanted = count, min(count, int(is_vague.sum()))
        while True:
            first = by_promise(bounds, reach)
            if len(first) == len(rows) or (len(first) >= count and int(is_vague[first].sum()) >= wanted):
                return rows[first]
            reach *= 2

    def by_miss(self, rows: Rows, _count: int) -> Rows:
        """Rows by how much they miss a requirement at least; equal ones as they came."""
        return rows[np.argsort(self.misses[rows], kind="stable")]


def by_promise(bounds: Vectors, reach: int | None = None) -> Rows:
    """The order of rows of bounds by the best of their places: by GPU-seconds of a token, by TTFT, and by TPOT.

    Those with a place below `reach`, which are at least so many, or all of them.
    """
    reach = len(bounds) if reach is None else min(reach, len(bounds))
    gpus, ttft, tpot, throughput, _ = bounds.T
    each = gpus / np.where(throughput == 0, np.inf, -throughput)
    best = np.minimum.reduce([_places(by, reach) for by in (each, ttft, tpot)])
    first = np.flatnonzero(best < reach)
    return first[np.argsort(best[first], kind="stable")]


def _places(by: npt.NDArray[np.float64], reach: int) -> Rows:
    """The place of each when all are sorted, equal ones as they came; of those past `reach` no more than that."""
    places = np.full(len(by), len(by))
    first = np.arange(len(by))
    if reach < len(by):
        first = np.flatnonzero(by <= np.partition(by, reach)[reach])
    places[first[np.argsort(by[first], kind="stable")]] = np.arange(len(first))
    return places


def vectors_of(gpus: Vectors, bound: Bound[Vectors], usd_per_gpu_second: float | None) -> Vectors:
    """Bounds as objectives, less being better; without a price no candidate has a cost of tokens."""
    price, free = usd_per_gpu_second, np.zeros(len(gpus))
    cost = free if price is None else price * gpus / bound.throughput * 1e6
    return np.column_stack([gpus, bound.ttft, bound.tpot, -bound.throughput, cost])


def unbounded(candidates: Sequence[Candidate]) -> Table:
    """Candidates of which nothing is known, and nothing asked."""
    count = len(candidates)
    return Table(
        candidates, np.zeros((count, len(OBJECTIVES))), np.zeros(count), [""] * count, np.ones(count, np.bool_)
    )
