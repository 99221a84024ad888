"""Bounds are put into the table: a first one for every candidate, a precise one for those whose turn has come.

A first bound needs what layers compute at least (`Problem.compute`), which many cuts share. A precise one needs the
least times of the layers of each cut, for which they are lowered and priced; the worker of the search does
that too, and what was found of a cut is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from dagc.graph.priced import Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.search.bounds import Asked, Bound, Bounds, Figures, LeastTimes, Placed, rate
from dagc.search.candidate import Candidate, Shape
from dagc.search.executors import Awaited
from dagc.search.needs import Needs
from dagc.search.table import Mask, Rows, Table, unbounded, vectors_of

PIECE = 2048
"""Candidates that are bounded at once: what they need at a time is some tens of megabytes."""

AHEAD = 8
"""Pieces whose needs are being worked out while an earlier one is put together."""

LeastOf = Callable[[Sequence[Asked]], Awaited[Iterable[Picoseconds]]]
"""Begins to find the least times of cuts, each of shape (phases, 4, layers + 1)."""

_Early = tuple[Shape, Options, int]
"""What a first bound depends on: a service and its batch, whatever phases it serves."""


class Bounding:
    """First and precise bounds under the facts of one plan."""

    def __init__(self, facts: Facts, compute: LeastOf, least: LeastOf) -> None:
        self._facts, self._needs = facts, Needs(facts.requirements, facts.workload)
        self._first, self._precise = Bounds(facts, is_first=True), Bounds(facts)
        self._compute, self._least = compute, least
        self._known: dict[Asked, Picoseconds] = {}
        self._away: set[Asked] = set()
        self._singly: dict[_Early, Figures] = {}
        self._tabled: list[tuple[list[Candidate], Figures]] = []

    def table(self, candidates: Iterable[Candidate], tell: Callable[[int], None]) -> Table:
        """All candidates, each of one service, with their first bounds; `tell` takes how many there are so far."""
        taken: list[Candidate] = []

        def pieces() -> Iterator[list[Placed]]:
            rest = iter(candidates)
            while piece := list(islice(rest, PIECE)):
                tell(len(taken))
                taken.extend(piece)
                yield _placed(piece)

        seconds = _joined(self._firsts(pieces()))
        self._tabled.append((taken, seconds))
        table = unbounded(taken)
        table.is_precise[:] = False
        self._put(table, np.arange(len(taken)), seconds)
        return table

    def refine(self, table: Table, rows: Rows, is_open: Mask) -> Awaited[None]:
        """Begin to find the precise bounds of these rows; those have them that are open once that is waited for."""
        seconds = self._exactly(_placed([table.candidates[i] for i in _numbers(rows)]))

        def put() -> None:
            found, left = seconds(), is_open[rows]
            self._put(table, rows[left], found[:, left])
            table.is_precise[rows[left]] = True

        return put

    def first(self, services: Sequence[Placed]) -> Figures:
        """TTFT and TPOT of services at least, by what they compute wherever they are; shape (2, services)."""
        keys = [(service.shape, service.options, batch) for service, batch, _ in services]
        known = self._early
        new = {key: one for key, one in zip(keys, services, strict=True) if key not in known}
        left = list(new.values())
        seconds = _joined(self._firsts(left[start : start + PIECE] for start in range(0, len(left), PIECE)))
        known.update(zip(new, seconds.T, strict=True))
        return np.array([known[key] for key in keys]).reshape(-1, 2).T

    @property
    def _early(self) -> dict[_Early, Figures]:
        """First bounds that are known. Those of a table are looked up once somebody asks for single ones."""
        for candidates, seconds in self._tabled:
            keys = ((one.services[0].shape, one.services[0].options, one.batch) for one in candidates)
            self._singly.update(zip(keys, seconds.T, strict=True))
        self._tabled.clear()
        return self._singly

    def _firsts(self, pieces: Iterable[Sequence[Placed]]) -> Iterator[Figures]:
        """First bounds of each piece; workers have what the next ones need while this one is put together."""
        begun: deque[Awaited[Figures]] = deque()
        for piece in pieces:
            begun.append(self._begin(piece))
            if len(begun) > AHEAD:
                yield begun.popleft()()
        yield from (one() for one in begun)

    def _begin(self, services: Sequence[Placed]) -> Awaited[Figures]:
        asked = _asked(self._first, services)
        times = self._compute(asked)
        return lambda: self._first.seconds(services, _times(asked, times()))

    def precise(self, services: Sequence[Placed]) -> Figures:
        """The same by the least times of their layers."""
        return self._exactly(services)()

    def _exactly(self, services: Sequence[Placed]) -> Awaited[Figures]:
        """The same, begun. What was begun earlier has to be waited for earlier: a cut is asked for once."""
        asked = _asked(self._precise, services)
        for cut, size in asked:
            of_both = replace(cut, phase=Phase.BOTH), size
            if of_both in self._known:
                self._known[cut, size] = self._known[of_both]
        new = [one for one in asked if one not in self._known and one not in self._away]
        self._away.update(new)
        times = self._least(new)

        def found() -> Figures:
            self._known.update(zip(new, times(), strict=True))
            self._away.difference_update(new)
            return self._precise.seconds(services, _times(asked, [self._known[one] for one in asked]))

        return found

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


def _joined(pieces: Iterable[Figures]) -> Figures:
    return np.concatenate([np.empty((2, 0)), *pieces], axis=1)


def _numbers(rows: Rows) -> list[int]:
    return rows.tolist()


def _placed(candidates: Iterable[Candidate]) -> list[Placed]:
    """The one service of each."""
    return [(one.services[0], one.batch, 0) for one in candidates]


def _asked(bounds: Bounds, services: Iterable[Placed]) -> list[Asked]:
    """The least times that the bounds of services need, each once."""
    return list(dict.fromkeys(one for placed in services for one in bounds.asked(placed)))


def _times(asked: Sequence[Asked], rows: Iterable[Picoseconds]) -> LeastTimes:
    return LeastTimes({one: i for i, one in enumerate(asked)}, np.asarray(rows))
