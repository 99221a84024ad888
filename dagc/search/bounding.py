"""Bounds are put into the table: a first one for every candidate, a precise one for those whose turn has come.

A first bound needs what layers compute at least (`Problem.compute`), which many cuts share. A precise one needs the
least times of the layers of each cut, for which they are lowered and priced; whoever does the work of the search does
that too, and what was found of a cut is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.plan.plan import Facts
from dagc.search.bounds import Asked, Bound, Bounds, LeastTimes
from dagc.search.candidate import Candidate
from dagc.search.front import Vectors
from dagc.search.needs import Needs
from dagc.search.table import Rows, Table, unbounded

PIECE = 2048
"""Candidates that are bounded at once: what they need at a time is some tens of megabytes."""

LeastOf = Callable[[Sequence[Asked]], Sequence[Picoseconds]]
"""Takes cuts to the least times of each, shape (phases, 4, layers + 1)."""


class Bounding:
    """First and precise bounds under the facts of one plan."""

    def __init__(self, facts: Facts, compute: LeastOf, least: LeastOf) -> None:
        self._bounds, self._needs = Bounds(facts), Needs(facts.requirements, facts.workload)
        self._price, self._compute, self._least = facts.cluster.usd_per_gpu_second, compute, least
        self._known: dict[Asked, Picoseconds] = {}

    def table(self, candidates: Sequence[Candidate], tell: Callable[[int], None]) -> Table:
        """All candidates with their first bounds; `tell` takes how many have one."""
        table = unbounded(candidates)
        table.is_precise[:] = False
        for start in range(0, len(candidates), PIECE):
            tell(start)
            rows = np.arange(start, min(start + PIECE, len(candidates)))
            asked = self._asked(table, rows)
            self._put(table, rows, _times(asked, self._compute(asked)))
        return table

    def refine(self, table: Table, rows: Rows) -> None:
        """Give these rows their precise bounds."""
        asked = self._asked(table, rows)
        new = [one for one in asked if one not in self._known]
        self._known.update(zip(new, self._least(new), strict=True))
        self._put(table, rows, _times(asked, [self._known[one] for one in asked]))
        table.is_precise[rows] = True

    def _asked(self, table: Table, rows: Rows) -> list[Asked]:
        """The least times that the bounds of rows need, each once."""
        numbers: list[int] = rows.tolist()
        return list(dict.fromkeys(one for i in numbers for one in self._bounds.asked(table.candidates[i])))

    def _put(self, table: Table, rows: Rows, times: LeastTimes) -> None:
        numbers: list[int] = rows.tolist()
        candidates = [table.candidates[i] for i in numbers]
        gpus = np.array([one.gpus for one in candidates], dtype=np.float64)
        figures = self._bounds.of(candidates, times)
        table.bounds[rows] = self._vectors(gpus, figures)
        for i, total, *bound in zip(numbers, gpus.tolist(), *(one.tolist() for one in figures), strict=True):
            missed = self._needs.missed(Bound(*bound), total)
            if missed and missed.miss > 0:
                table.misses[i], table.names[i] = missed.miss, missed.name

    def _vectors(self, gpus: Vectors, figures: tuple[Vectors, Vectors, Vectors]) -> Vectors:
        """Bounds as objectives, less being better; without a price no candidate has a cost of tokens."""
        ttft, tpot, throughput = figures
        cost = np.zeros(len(gpus)) if self._price is None else self._price * gpus / throughput * 1e6
        return np.column_stack([gpus, ttft, tpot, -throughput, cost])


def _times(asked: Sequence[Asked], rows: Sequence[Picoseconds]) -> LeastTimes:
    return LeastTimes({one: i for i, one in enumerate(asked)}, np.asarray(rows))
