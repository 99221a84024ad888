"""The best plan so far under a goal, and who evaluates what a search asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dagc.graph.priced import Picoseconds
from dagc.search.bounds import ServiceBound
from dagc.search.candidate import ServicePlan
from dagc.search.goal import Goal
from dagc.search.incumbents import Named, PricedStrategy
from dagc.search.layer_parts import Work
from dagc.search.pairs import Placed
from dagc.search.verdict import StrategyVerdict


class Evaluator(Protocol):
    """What workers do: each takes what is asked, and gives the answers in the same order."""

    def price(self, named: Sequence[Named]) -> list[StrategyVerdict]:
        """Verdicts on strategies."""
        ...

    def seconds(self, asked: Sequence[Placed]) -> list[float]:
        """Prices of single services, as `SecondsOf` has them."""
        ...

    def tighten(self, asked: Sequence[tuple[ServicePlan, int]]) -> list[ServiceBound]:
        """Bounds of services, each under a batch, that know their memory."""
        ...

    def parts(self, asked: Sequence[Work]) -> Sequence[Picoseconds]:
        """Times of parts of layers, as `Parts.times` has them."""
        ...


@dataclass(slots=True)
class Best:
    """The best plan under a goal of those that were priced, its score, and the plan that misses requirements least."""

    goal: Goal
    entry: PricedStrategy | None = None
    score: float = float("inf")
    nearest: PricedStrategy | None = None
    priced: int = 0

    def take(self, entry: PricedStrategy) -> bool:
        """Compare a plan with the best; whether it fits and meets every requirement."""
        self.priced += 1
        if entry.verdict.code is not None or entry.verdict.is_over:
            return False
        if not self.goal.is_met_by(entry.verdict):
            if self.nearest is None or (self.miss(entry), entry.rank) < (self.miss(self.nearest), self.nearest.rank):
                self.nearest = entry
            return False
        score = self.goal.score_of(entry.verdict)
        if self.entry is None or (score, entry.rank) < (self.score, self.entry.rank):
            self.entry, self.score = entry, score
        return True

    def settle(self, front: Sequence[PricedStrategy]) -> None:
        """Take the first plan of a front whose score is as good: of equals the best may be one that is dominated."""
        for entry in front:
            score = self.goal.score_of(entry.verdict)
            if entry.batch == self.goal.batch and self.goal.is_met_by(entry.verdict) and score <= self.score:
                self.entry, self.score = entry, score
                return

    def miss(self, entry: PricedStrategy) -> float:
        """The largest miss of a requirement of the goal."""
        return max((entry.verdict.requirements[index].miss or 0.0 for index in self.goal.required), default=0.0)


@dataclass(slots=True)
class Witness:
    """The plan with the best bound of those that were not priced: its text, and what the bound knows of it."""

    strategy: str
    score: float
    gpus: int
    ttft: float
    tpot: float
    throughput: float


@dataclass(slots=True)
class Missed:
    """Plans or services whose bound or price misses a requirement; `nearest` is the figure that misses least.

    `is_ceiling` where less of the figure is better.
    """

    is_ceiling: bool
    number: int = 0
    nearest: float | None = None

    def add(self, figure: float, number: int = 1) -> None:
        """Count some, of which a figure is the best."""
        self.number += number
        best = min if self.is_ceiling else max
        self.nearest = figure if self.nearest is None else best(self.nearest, figure)
