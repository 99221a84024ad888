"""Walks through pairs of a prefill and a decode service, of which few are made.

The pairs of p GPUs for prefill and d for decode are a cell. Requirements leave out services, each by itself
(`dagc.search.goal`). The rest of both phases are ordered by what the objective needs of them: TTFT or TPOT where it is
that, and else the seconds of a request, R / TTFT or H / ((O - 1) x TPOT) being the requests a second of R prompts that
are prefilled at once and of H sequences that run. A pair yields no more requests than either of its services, so the
score of the pair at places (i, j) is no better than that of the worse of these two places, and no pair with neither
place before them has a better one. A service takes its place once it is priced and none behind it can be faster.

The decode services of a cell are enumerated once its prefill services leave it open. Each cell is walked from its
first pair: from (i, j) on to (i, j + 1), and from (i, 0) to (i + 1, 0) also. What is left at the end begins at some
nodes, whose scores are no better than the best; the best of these is the cell's witness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dagc.plan.deployment import Phase
from dagc.search.best import Best, Evaluator, Missed, Witness
from dagc.search.budget import Budget
from dagc.search.candidate import Candidate, ServicePlan, ServiceShape, spell
from dagc.search.goal import Goal
from dagc.search.incumbents import PricedStrategy
from dagc.search.service_order import LOOSE, PRICED, TIGHT, ServiceOrder
from dagc.search.services import ServiceColumn
from dagc.search.walks import ROUND


@dataclass(slots=True)
class CellOutcome:
    """What became of the pairs of a cell of so many services that fit by their weights.

    `decode` is None where the prefill services alone close the cell, and the decode services are not enumerated.
    Without a service that does not fit (`over`), or of which a bound or the price misses a requirement, pairs are
    priced, or `bounded`; the best of these is the witness.
    """

    prefill_gpus: int
    decode_gpus: int
    batch: int
    prefill: int
    priced: int
    priced_missing: int
    witness: Witness | None
    decode: int | None = None
    over: int = 0
    missed: dict[str, Missed] = field(default_factory=dict[str, Missed])
    bounded: int = 0


@dataclass(slots=True)
class Cell:
    """A cell and the nodes at which what is left of it begins; `decode` None until its services are enumerated."""

    gpus: int
    prefill: ServiceOrder
    decode: ServiceOrder | None = None
    nodes: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    priced: int = 0
    priced_missing: int = 0

    @property
    def decode_gpus(self) -> int:
        """GPUs of the decode service."""
        return self.gpus - self.prefill.column.gpus


class _View(NamedTuple):
    """A node with the rows of its services, and the score that nothing behind it betters; no last row where decode
    services are not enumerated.
    """

    score: float
    cell: Cell
    node: tuple[int, int]
    first: int
    last: int | None


class PairWalk:
    """A walk through the cells of some columns of prefill services, each with the GPUs of both services."""

    def __init__(
        self, goal: Goal, cells: Sequence[tuple[ServiceColumn, int]], decode: Callable[[int], ServiceColumn]
    ) -> None:
        """`decode` enumerates the decode services on so many GPUs."""
        self._goal, self._enumerate = goal, decode
        self.cells = [Cell(gpus, ServiceOrder(column, goal, gpus, 0)) for column, gpus in cells]

    def _open(self, cell: Cell) -> ServiceOrder:
        """Enumerate the decode services of a cell. They lie as any do that begin at the same rank of a node."""
        cluster, before = self._goal.facts.cluster, cell.prefill.column.gpus
        begin = before if cluster.slowed else before % cluster.gpus_per_node
        cell.decode = ServiceOrder(self._enumerate(cell.decode_gpus), self._goal, cell.gpus, begin)
        return cell.decode

    def _seen(self) -> list[_View]:
        """All nodes, the most promising first; those past the end of an order are dropped."""
        found: list[_View] = []
        for cell in self.cells:
            kept: list[tuple[int, int]] = []
            for node in cell.nodes:
                first = cell.prefill.at(node[0])
                last = cell.decode.at(node[1]) if cell.decode else None
                if first is None or (cell.decode and last is None):
                    continue
                kept.append(node)
                needs = float(cell.decode.keys[last]) if cell.decode and last is not None else 0.0
                found.append(_View(self._score(cell, float(cell.prefill.keys[first]), needs), cell, node, first, last))
            cell.nodes = kept
        return sorted(found, key=lambda view: view.score)

    def _score(self, cell: Cell, first: float, last: float) -> float:
        """Of a pair by what its services need, seconds of a request or those that the objective is about."""
        output, slower = self._goal.facts.workload.output, max(first, last)
        match self._goal.objective:
            case "throughput_per_gpu" | "cost":
                return cell.gpus * slower / output
            case "throughput":
                return slower / output
            case "ttft":
                return first
            case "tpot":
                return last
            case "gpus":
                return float(cell.gpus)
            case "miss":
                return slower

    def dive(self, best: Best, evaluator: Evaluator, budget: Budget) -> None:
        """Price a pair of each cell."""
        for cell in self.cells:
            if budget.take(1):
                self._dive(cell, self._open(cell), best, evaluator, budget)

    def _dive(self, cell: Cell, decode: ServiceOrder, best: Best, evaluator: Evaluator, budget: Budget) -> None:
        """Price the pair that looks best if caches hold all sequences: there is a plan to compare with."""
        sides = [(order, order.hoped()) for order in (cell.prefill, decode)]
        number = 1 + sum(order.evaluations(rows) for order, rows in sides)
        if not all(rows for _, rows in sides) or budget.take(number) < number:
            return
        for _ in range(2):
            self._evaluate(sides, evaluator)
        ready = [
            [row for row in rows if order.level[row] == PRICED and np.isfinite(order.keys[row])]
            for order, rows in sides
        ]
        if all(ready):
            first, last = (
                min(rows, key=lambda row, keys=order.keys: float(keys[row]))
                for (order, _), rows in zip(sides, ready, strict=True)
            )
            self._price([_View(0.0, cell, (0, 0), first, last)], best, evaluator, is_walked=False)

    def work(self, best: Best, evaluator: Evaluator, budget: Budget) -> bool:
        """One round; whether anything was left to do."""
        views = [view for view in self._seen() if view.score < best.score]
        if not views:
            return False
        if closed := [view.cell for view in views if view.cell.decode is None]:
            # With the least that is left over of prefill, so that most GPUs are left for decode.
            if budget.take(1):
                self._dive(closed[-1], self._open(closed[-1]), best, evaluator, budget)
            return True
        asked: dict[tuple[int, bool], tuple[ServiceOrder, list[int]]] = {}
        pairs: list[_View] = []
        number = 0
        for view in views:
            if number >= ROUND:
                break
            order, place = self._unsettled(view)
            if order is None:
                pairs.append(view)
                number += 1
            elif (id(view.cell), order.is_prefill) not in asked:
                rows = order.ahead(place)[: ROUND - number]
                asked[id(view.cell), order.is_prefill] = order, rows
                number += len(rows)
        if budget.take(number) == number:
            self._evaluate(list(asked.values()), evaluator)
            self._price(pairs, best, evaluator)
        return True

    def _unsettled(self, view: _View) -> tuple[ServiceOrder | None, int]:
        """The order of which the place is not settled yet and decides the score, and the place; None of a pair."""
        prefill, decode, last = view.cell.prefill, view.cell.decode, view.last
        if decode is None or last is None:
            raise ValueError("the decode services of the cell are not enumerated")
        sides = [(prefill, view.first, view.node[0]), (decode, last, view.node[1])]
        is_decode_slower = decode.keys[last] >= prefill.keys[view.first]
        if self._goal.objective == "tpot" or (self._goal.objective != "ttft" and is_decode_slower):
            sides.reverse()
        return next(((order, place) for order, row, place in sides if order.level[row] < PRICED), (None, 0))

    def _evaluate(self, asked: Sequence[tuple[ServiceOrder, list[int]]], evaluator: Evaluator) -> None:
        loose = [(order, [row for row in rows if order.level[row] == LOOSE]) for order, rows in asked]
        tight = [(order, [row for row in rows if order.level[row] == TIGHT]) for order, rows in asked]
        new = [(order.column, row) for order, rows in loose for row in rows if not order.column.is_tight[row]]
        bounds = evaluator.tighten([(column.services[row], column.batch) for column, row in new])
        for (column, row), bound in zip(new, bounds, strict=True):
            column.tighten([row], [bound])
        for order, rows in loose:
            if rows:
                order.tightened(rows)
        placed = [
            (order.column.services[row], order.column.batch, order.begin) for order, rows in tight for row in rows
        ]
        seconds = iter(evaluator.seconds(placed))
        for order, rows in tight:
            if rows:
                order.priced(rows, [next(seconds) for _ in rows])

    def _price(self, views: Sequence[_View], best: Best, evaluator: Evaluator, is_walked: bool = True) -> None:
        """Prices of pairs; where they are walked, their nodes go on to the pairs behind them."""
        batch = self._goal.batch
        named = [(spell(self._candidate(view)), batch) for view in views]
        for view, (text, _), verdict in zip(views, named, evaluator.price(named), strict=True):
            cell, (i, j) = view.cell, view.node
            is_met = best.take(PricedStrategy(text, batch, verdict))
            if not is_walked:
                continue
            cell.priced += 1
            cell.priced_missing += not is_met
            cell.nodes.remove((i, j))
            cell.nodes += [(i, j + 1), *([(i + 1, 0)] if j == 0 else [])]

    def _candidate(self, view: _View) -> Candidate:
        """The pair of a view; with a decode service of copies of the model where none is enumerated."""
        cell = view.cell
        decode = (
            ServicePlan(ServiceShape(cell.decode_gpus, 1), phase=Phase.DECODE)
            if cell.decode is None or view.last is None
            else cell.decode.column.services[view.last]
        )
        return Candidate((cell.prefill.column.services[view.first], decode), self._goal.batch)

    def best_bound(self) -> float:
        """The best score that one of those left may have."""
        return min((view.score for view in self._seen()), default=float("inf"))

    def outcomes(self) -> list[CellOutcome]:
        """What became of each cell."""
        first: dict[int, _View] = {}
        for view in self._seen():
            first.setdefault(id(view.cell), view)
        return [self._outcome(cell, first.get(id(cell))) for cell in self.cells]

    def _outcome(self, cell: Cell, view: _View | None) -> CellOutcome:
        prefill, decode = cell.prefill, cell.decode
        found = CellOutcome(
            prefill.column.gpus, cell.decode_gpus, self._goal.batch, len(prefill.column), cell.priced,
            cell.priced_missing, None if view is None else self._witness(view),
        )  # fmt: skip
        if decode is None:
            return found
        many, few = len(decode.column), prefill.alive
        for order, beside in ((prefill, many), (decode, few)):
            for name, one in order.missed.items():
                found.missed.setdefault(name, Missed(one.is_ceiling)).add(one.nearest or 0.0, one.number * beside)
        found.decode, found.over = many, prefill.over * many + decode.over * few
        found.bounded = few * decode.alive - cell.priced
        return found

    def _witness(self, view: _View) -> Witness:
        prefill, decode = view.cell.prefill, view.cell.decode
        rate, tpot = float(prefill.rates[view.first]), 0.0
        if decode is not None and view.last is not None:
            rate, tpot = min(rate, float(decode.rates[view.last])), float(decode.seconds[view.last])
        return Witness(
            spell(self._candidate(view)),
            view.score,
            view.cell.gpus,
            float(prefill.seconds[view.first]),
            tpot,
            self._goal.facts.workload.output * rate,
        )
