"""What a search asks for is done by workers, and recorded where there is a file.

Who asks takes it from the budget first, even where a record has the answer: a search that goes on from a record asks
for what it has there, and ends where one without would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TypeVar

from dagc.driver.pricing import Judge
from dagc.graph.priced import Picoseconds
from dagc.search.bounds import ServiceBound
from dagc.search.budget import Budget
from dagc.search.candidate import ServicePlan, spell_placed
from dagc.search.checkpoint import Checkpoint
from dagc.search.incumbents import Named, PricedStrategy
from dagc.search.layer_parts import Work
from dagc.search.pairs import Placed
from dagc.search.verdict import StrategyVerdict
from dagc.search.worker_pool import WorkerPool

PIECE = 4
"""Parts of layers that a worker is given at once. A strategy takes as long as some of these, and goes alone."""

BOUNDS = 16
"""Bounds of services that a worker is given at once."""

One = TypeVar("One")


@dataclass(slots=True)
class PooledEvaluator:
    """Each piece of work is done by workers on their own judge; prices that are recorded are from there.

    `priced` are the strategies that were priced, in the order in which they were asked for.
    """

    judge: Judge
    pool: WorkerPool
    checkpoint: Checkpoint
    budget: Budget
    priced: list[PricedStrategy] = field(default_factory=list[PricedStrategy])
    _asked: set[Named] = field(default_factory=set[Named])

    def price(self, named: Sequence[Named]) -> list[StrategyVerdict]:
        """Verdicts on strategies."""
        new = [one for one in dict.fromkeys(named) if one not in self._asked]
        verdicts = self._recorded(named, named, self.judge.verdicts)
        by_name = dict(zip(named, verdicts, strict=True))
        self.priced += [PricedStrategy(*one, by_name[one]) for one in new]
        return verdicts

    def seconds(self, asked: Sequence[Placed]) -> list[float]:
        """Prices of single services."""
        named = [(spell_placed(service, begin), batch) for service, batch, begin in asked]
        verdicts = self._recorded(named, asked, self.judge.services)
        return [verdict.figures[0][1] or 0.0 for verdict in verdicts]

    def tighten(self, asked: Sequence[tuple[ServicePlan, int]]) -> list[ServiceBound]:
        """Bounds of services that know their memory; they are not recorded."""
        pieces = [asked[start : start + BOUNDS] for start in range(0, len(asked), BOUNDS)]
        return list(chain.from_iterable(self.pool.map(self.judge.tighten, pieces)))

    def parts(self, asked: Sequence[Work]) -> list[Picoseconds]:
        """What parts of layers compute."""
        pieces = [asked[start : start + PIECE] for start in range(0, len(asked), PIECE)]
        return list(chain.from_iterable(self.pool.map(self.judge.parts, pieces)))

    def whole(self, entries: Sequence[PricedStrategy]) -> list[PricedStrategy]:
        """The same strategies, with all figures of a comparison in place of the objectives alone."""
        named = [(one.strategy, one.batch) for one in entries]
        found = self.pool.map(partial(_verdict, self.judge), named)
        return [replace(one, verdict=verdict) for one, verdict in zip(entries, found, strict=True)]

    def _recorded(
        self, named: Sequence[Named], asked: Sequence[One], work: Callable[[Sequence[One]], list[StrategyVerdict]]
    ) -> list[StrategyVerdict]:
        self._asked.update(named)
        new = {name: one for name, one in zip(named, asked, strict=True) if name not in self.checkpoint.known}
        found = chain.from_iterable(self.pool.map(work, [[one] for one in new.values()]))
        self.checkpoint.add(list(zip(new, found, strict=True)))
        return [self.checkpoint.known[name] for name in named]


def _verdict(judge: Judge, named: Named) -> StrategyVerdict:
    return judge.verdict(*named)
