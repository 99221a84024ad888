"""Candidates with their bounds, in the order in which they are tried.

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
from dagc.search.verdict import Vector, as_vector


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Candidates and their bounds, shape (candidates, objectives).

    `misses` says by how much each misses a requirement at least, and `names` which; 0 and empty where none is missed.
    """

    candidates: Sequence[Candidate]
    bounds: Vectors
    misses: npt.NDArray[np.float64]
    names: Sequence[str]

    def taken(self, order: npt.NDArray[np.int64]) -> Table:
        """These rows, in this order."""
        rows: list[int] = order.tolist()
        candidates, names = [self.candidates[i] for i in rows], [self.names[i] for i in rows]
        return Table(candidates, self.bounds[order], self.misses[order], names)

    def by_promise(self) -> Table:
        """Rows by the best of their places in three orders; equal ones as they came."""
        return self.taken(np.argsort(places_of(self.bounds), kind="stable")) if self.candidates else self


def places_of(bounds: Vectors) -> npt.NDArray[np.int64]:
    """The best place of each row in three orders: by GPU-seconds of a token, by TTFT, and by TPOT."""
    gpus, ttft, tpot, throughput, _ = bounds.T
    each = gpus / np.where(throughput == 0, np.inf, -throughput)
    return np.minimum.reduce([np.argsort(np.argsort(by, kind="stable"), kind="stable") for by in (each, ttft, tpot)])


def vector_of(bound: Bound, gpus: int, usd_per_gpu_second: float | None) -> Vector:
    """A bound as objectives; without a price no candidate has a cost of tokens."""
    cost = 0.0 if usd_per_gpu_second is None else usd_per_gpu_second * gpus / bound.throughput * 1e6
    return as_vector({
        "gpus": gpus, "ttft": bound.ttft, "tpot": bound.tpot, "throughput": bound.throughput,
        "cost_per_million_output_tokens": cost,
    })  # fmt: skip
