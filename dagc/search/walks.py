"""Walks through services for both phases in the order of their bounds, until none that is left can be the best.

A round takes the most promising services: bounds that know the memory replace those that do not, and what is promising
then is priced. What is left at the end has a bound no better than the best plan, which is the proof that it need not be
priced; the best of these bounds is kept as the witness of its family.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dagc.search.best import Best, Evaluator, Missed, Witness
from dagc.search.bounds import Figures
from dagc.search.budget import Budget
from dagc.search.candidate import Candidate, spell
from dagc.search.goal import Goal, exceeds, falls_short
from dagc.search.incumbents import PricedStrategy
from dagc.search.services import FamilyCount, ServiceColumn

ROUND = 64
"""Evaluations of a round at most: enough for some workers, and few enough that the best so far is up to date."""

PRICES = 16
"""Strategies that a round prices at most: each takes as long as the bounds of twenty."""

OPEN, PRICED, OVER, REFUSED = range(4)

CEILINGS = 3
"""Of the kinds of requirements that bounds know, the first, of which less is better."""


@dataclass(slots=True)
class FamilyOutcome:
    """What became of a family of services for both phases, beside what `FamilyCount` has.

    `missed` are those of which a bound misses a requirement, `over` those that do not fit with all that a GPU holds,
    `refused` those that a rule refused when they were to be priced; `bounded` the rest, of which `witness` is the best.
    """

    count: FamilyCount
    gpus: int
    batch: int
    refused: Counter[str] = field(default_factory=Counter[str])
    over: int = 0
    missed: dict[str, Missed] = field(default_factory=dict[str, Missed])
    priced: int = 0
    priced_missing: int = 0
    bounded: int = 0
    witness: Witness | None = None


class ServiceWalk:
    """A walk through one column of services for both phases."""

    def __init__(self, goal: Goal, column: ServiceColumn) -> None:
        self.column, self._goal = column, goal
        self._limits = goal.limits(column.gpus)
        self._state: npt.NDArray[np.int8] = np.zeros(len(column), dtype=np.int8)
        self._missing: npt.NDArray[np.bool_] = np.zeros(len(column), dtype=np.bool_)
        self._codes: dict[int, str] = {}
        self._score: Figures = np.zeros(len(column))
        self._closed: npt.NDArray[np.bool_] = np.zeros(len(column), dtype=np.bool_)
        self._judge()

    def _judge(self) -> None:
        """Scores of the bounds, and which of them miss a requirement."""
        column, facts = self.column, self._goal.facts
        rates = column.rates(facts)
        ttft = column.ttft_alone if self._goal.objective == "miss" else column.ttft
        self._score = self._goal.score(column.gpus, ttft, column.tpot, facts.workload.output * rates)
        self._state[(self._state == OPEN) & np.isinf(column.ttft)] = OVER
        self._closed = np.logical_or.reduce([is_missed for _, _, is_missed in self._misses(rates)])

    def _misses(self, rates: Figures) -> list[tuple[str, Figures, npt.NDArray[np.bool_]]]:
        """Of each kind of requirement its name, the figures that it limits, and which miss it."""
        column, limits = self.column, self._limits
        gpus = np.full(len(column), float(column.gpus))
        ceilings = ((limits.ttft, column.ttft_alone), (limits.tpot, column.tpot), (limits.gpus, gpus))
        found = [(limit.name if limit else "", values, exceeds(values, limit)) for limit, values in ceilings]
        return [*found, (limits.rate.name if limits.rate else "", rates, falls_short(rates, limits.rate))]

    def left(self, best: float) -> npt.NDArray[np.int64]:
        """Rows that may be better than the best, the most promising first."""
        rows = np.flatnonzero((self._state == OPEN) & ~self._closed & (self._score < best))
        return rows[np.argsort(self._score[rows], kind="stable")]

    def dive(self, best: Best, evaluator: Evaluator, budget: Budget) -> None:
        """Price what looks best if the caches hold all sequences, so that there is a plan to compare with."""
        column, facts = self.column, self._goal.facts
        throughput = facts.workload.output * column.rates(facts, column.hoped)
        hoped = self._goal.score(column.gpus, column.ttft, column.hoped, throughput)
        hoped = np.where(self._closed | exceeds(column.hoped, self._limits.tpot), np.inf, hoped)
        rows = [row for row in np.argsort(hoped, kind="stable")[:PRICES].tolist() if np.isfinite(hoped[row])]
        if rows and (room := budget.take(2 * len(rows)) // 2):
            for _ in range(2):
                self._evaluate(rows[:room], best, evaluator)

    def work(self, best: Best, evaluator: Evaluator, budget: Budget) -> bool:
        """One round; whether anything was left to do. The best learns of what was priced."""
        rows = self.left(best.score)
        if not len(rows) or not (room := budget.take(min(ROUND, len(rows)))):
            return bool(len(rows))
        self._evaluate(rows[:room].tolist(), best, evaluator)
        return True

    def _evaluate(self, chosen: list[int], best: Best, evaluator: Evaluator) -> None:
        """Bounds that know the memory of those that have none, and prices of the first of the others."""
        column = self.column
        chosen = [row for row in chosen if self._state[row] == OPEN]
        loose = [row for row in chosen if not column.is_tight[row]]
        tight = [row for row in chosen if column.is_tight[row]][:PRICES]
        bounds = evaluator.tighten([(column.services[row], column.batch) for row in loose])
        column.tighten(loose, bounds)
        named = [(spell(self._candidate(row)), column.batch) for row in tight]
        for row, (text, batch), verdict in zip(tight, named, evaluator.price(named), strict=True):
            self._state[row] = REFUSED if verdict.code else OVER if verdict.is_over else PRICED
            if verdict.code:
                self._codes[row] = verdict.code
            self._missing[row] = not best.take(PricedStrategy(text, batch, verdict))
        self._judge()

    def _candidate(self, row: int) -> Candidate:
        return Candidate((self.column.services[row],), self.column.batch)

    def best_bound(self) -> float:
        """The best score that one of those left may have."""
        scores = self._score[(self._state == OPEN) & ~self._closed]
        return float(scores.min(initial=np.inf))

    def outcomes(self) -> list[FamilyOutcome]:
        """What became of each family."""
        column = self.column
        found = [FamilyOutcome(count, column.gpus, column.batch) for count in column.families]
        if not len(column):
            return found
        self._count(found, self._state == OVER, "over")
        self._count(found, self._state == PRICED, "priced")
        self._count(found, (self._state == PRICED) & self._missing, "priced_missing")
        places: list[int] = column.family.tolist()
        for row, code in self._codes.items():
            found[places[row]].refused[code] += 1
        left = self._state == OPEN
        for index, (name, values, is_missed) in enumerate(self._misses(column.rates(self._goal.facts))):
            rows = np.flatnonzero(left & is_missed)
            left &= ~is_missed
            for row in rows.tolist():
                missed = found[places[row]].missed.setdefault(name, Missed(is_ceiling=index < CEILINGS))
                missed.add(float(values[row]))
        self._count(found, left, "bounded")
        for row in np.flatnonzero(left).tolist():
            known = found[places[row]].witness
            if known is None or self._score[row] < known.score:
                found[places[row]].witness = self._witness(row)
        return found

    def _count(self, found: list[FamilyOutcome], rows: npt.NDArray[np.bool_], name: str) -> None:
        numbers = np.bincount(self.column.family[rows], minlength=len(found)).tolist()
        for outcome, number in zip(found, numbers, strict=True):
            setattr(outcome, name, number)

    def _witness(self, row: int) -> Witness:
        column, facts = self.column, self._goal.facts
        return Witness(
            spell(self._candidate(row)),
            float(self._score[row]),
            column.gpus,
            float(column.ttft[row]),
            float(column.tpot[row]),
            facts.workload.output * float(column.rates(facts)[row]),
        )
