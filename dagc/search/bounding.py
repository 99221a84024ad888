"""Bounds are put into the table: a first one for every candidate, a precise one for those whose turn has come.

A first bound needs what layers compute at least (`Problem.compute`), which many cuts share. A precise one needs the
least times of the layers of each cut, for which they are lowered and priced; whoever does the work of the search does
that too, and what was found of a cut is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.search.bounds import Asked, Bound, Bounds, Figures, LeastTimes, Placed, rate
from dagc.search.candidate import Candidate, Shape
from dagc.search.needs import Needs
from dagc.search.table import Rows, Table, unbounded, vectors_of

PIECE = 2048
"""Candidates that are bounded at once: what they need at a time is some tens of megabytes."""

LeastOf = Callable[[Sequence[Asked]], Iterable[Picoseconds]]
"""Takes cuts to the least times of each, shape (phases, 4, layers + 1)."""


class Bounding:
    """First and precise bounds under the facts of one plan."""

    def __init__(self, facts: Facts, compute: LeastOf, least: LeastOf) -> None:
        self._facts, self._needs = facts, Needs(facts.requirements, facts.workload)
        self._first, self._precise = Bounds(facts, is_first=True), Bounds(facts)
        self._compute, self._least = compute, least
        self._known: dict[Asked, Picoseconds] = {}
        self._early: dict[tuple[Shape, Options, int], Figures] = {}

    def table(self, candidates: Sequence[Candidate], tell: Callable[[int], None]) -> Table:
        """All candidates, each of one service, with their first bounds; `tell` takes how many have one."""
        table = unbounded(candidates)
        table.is_precise[:] = False
        for start in range(0, len(candidates), PIECE):
            tell(start)
            rows = np.arange(start, min(start + PIECE, len(candidates)))
            self._put(table, rows, self.first(_placed(table, rows)))
        return table

    def refine(self, table: Table, rows: Rows) -> None:
        """Give these rows their precise bounds."""
        self._put(table, rows, self.precise(_placed(table, rows)))
        table.is_precise[rows] = True

    def first(self, services: Sequence[Placed]) -> Figures:
        """TTFT and TPOT of services at least, by what they compute wherever they are; shape (2, services)."""
        keys = [(service.shape, service.options, batch) for service, batch, _ in services]
        new = [i for i, key in enumerate(keys) if key not in self._early]
        for start in range(0, len(new), PIECE):
            rows = new[start : start + PIECE]
            piece = [services[i] for i in rows]
            asked = _asked(self._first, piece)
            found = self._first.seconds(piece, _times(asked, self._compute(asked)))
            self._early.update(zip((keys[i] for i in rows), found.T, strict=True))
        return np.array([self._early[key] for key in keys]).reshape(-1, 2).T

    def precise(self, services: Sequence[Placed]) -> Figures:
        """The same by the least times of their layers."""
        asked = _asked(self._precise, services)
        for cut, size in asked:
            of_both = replace(cut, phase=Phase.BOTH), size
            if of_both in self._known:
                self._known[cut, size] = self._known[of_both]
        new = [one for one in asked if one not in self._known]
        self._known.update(zip(new, self._least(new), strict=True))
        return self._precise.seconds(services, _times(asked, [self._known[one] for one in asked]))

    def _put(self, table: Table, rows: Rows, seconds: Figures) -> None:
        """Bounds of rows from their seconds."""
        workload, price = self._facts.workload, self._facts.cluster.usd_per_gpu_second
        candidates = [table.candidates[i] for i in _numbers(rows)]
        gpus = np.array([one.gpus for one in candidates], dtype=np.float64)
        ttft, tpot = seconds
        whole = ttft + (workload.output - 1) * tpot
        throughput = workload.output * rate(np.array([one.batch for one in candidates]), whole)
        table.bounds[rows] = vectors_of(gpus, Bound(ttft, tpot, throughput), price)
        columns = (gpus.tolist(), ttft.tolist(), tpot.tolist(), throughput.tolist())
        for i, total, *bound in zip(_numbers(rows), *columns, strict=True):
            missed = self._needs.missed(Bound(*bound), total)
            if missed and missed.miss > 0:
                table.misses[i], table.names[i] = missed.miss, missed.name


def _numbers(rows: Rows) -> list[int]:
    return rows.tolist()


def _placed(table: Table, rows: Rows) -> list[Placed]:
    """The one service of each row."""
    return [(table.candidates[i].services[0], table.candidates[i].batch, 0) for i in _numbers(rows)]


def _asked(bounds: Bounds, services: Iterable[Placed]) -> list[Asked]:
    """The least times that the bounds of services need, each once."""
    return list(dict.fromkeys(one for placed in services for one in bounds.asked(placed)))


def _times(asked: Sequence[Asked], rows: Iterable[Picoseconds]) -> LeastTimes:
    return LeastTimes({one: i for i, one in enumerate(asked)}, np.asarray(rows))
