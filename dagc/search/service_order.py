"""The services of one phase in the order in which a goal wants them, as far as bounds and prices tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dagc.plan.deployment import Phase
from dagc.search.best import Missed
from dagc.search.bounds import Figures, rate
from dagc.search.goal import Goal, GoalLimit, exceeds, falls_short
from dagc.search.services import ServiceColumn

AHEAD = 8
"""Services that are evaluated at once: those at the front would be next."""

LOOSE, TIGHT, PRICED = range(3)
"""What is known of a service: a bound, one that knows its memory, or a price."""


class ServiceOrder:
    """The services of a column in the order in which a goal wants them, at one place of the cluster."""

    def __init__(self, column: ServiceColumn, goal: Goal, gpus: int, begin: int) -> None:
        self.column, self.begin, self._goal = column, begin, goal
        limits = goal.limits(gpus)
        self.is_prefill = column.phase is Phase.PREFILL
        self._seconds_limit, self._rate_limit = limits.ttft if self.is_prefill else limits.tpot, limits.rate
        self._total = gpus
        self._gpus, self._gpus_limit = np.full(len(column), float(gpus)), limits.gpus
        self.level: npt.NDArray[np.int8] = np.full(len(column), TIGHT if self.is_prefill else LOOSE, dtype=np.int8)
        self.level[column.is_tight] = TIGHT
        self.seconds: Figures = (column.ttft if self.is_prefill else column.tpot).copy()
        self.rates: Figures = column.rates(goal.facts)
        self.missed: dict[str, Missed] = {}
        self.over = 0
        self.keys: Figures = np.zeros(len(column))
        self._order: npt.NDArray[np.int64] = np.arange(len(column))
        self._settle(np.arange(len(column)))

    def _needed(self, seconds: Figures, limited: Figures, rates: Figures) -> Figures:
        """What the objective makes least of services, with what it needs of them: seconds, or those of a request.

        `limited` are the seconds that a requirement is for.
        """
        if self._goal.objective == "miss":
            zero = np.zeros(seconds.shape)
            ttft, tpot = (limited, zero) if self.is_prefill else (zero, limited)
            return self._goal.miss(int(self._total), ttft, tpot, rates)
        if self._goal.objective == ("ttft" if self.is_prefill else "tpot"):
            return seconds
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / rates)

    @property
    def alive(self) -> int:
        """Services that neither miss a requirement nor lack memory, as far as is known."""
        return int(np.isfinite(self.keys).sum())

    def at(self, place: int) -> int | None:
        """The row of the service at a place, or, where that is not settled, of one that may be; None past the end."""
        row = int(self._order[place]) if place < len(self._order) else None
        return row if row is not None and np.isfinite(self.keys[row]) else None

    def hoped(self) -> list[int]:
        """The first rows by what they need if the caches hold all sequences."""
        hoped, limit = self.column.hoped, self._seconds_limit
        if self.is_prefill:
            keys = self.keys
        else:
            keys = self._needed(hoped, hoped, self.column.rates(self._goal.facts, hoped))
            keys = np.where(np.isinf(self.keys) | exceeds(hoped, limit), np.inf, np.maximum(keys, self.keys))
        rows = np.argsort(keys, kind="stable")[:AHEAD]
        return rows[np.isfinite(keys[rows])].tolist()

    def ahead(self, place: int) -> list[int]:
        """Rows from a place on that are not priced, the first some."""
        rows = self._order[place:]
        rows = rows[(self.level[rows] < PRICED) & np.isfinite(self.keys[rows])]
        return rows[:AHEAD].tolist()

    def evaluations(self, rows: Sequence[int]) -> int:
        """Evaluations until rows are priced, as far as nothing of them was asked for elsewhere."""
        levels = self.level[rows]
        known = (levels == LOOSE) & self.column.is_tight[rows]
        return int((PRICED - levels).sum() - known.sum())

    def tightened(self, rows: Sequence[int]) -> None:
        """Take the bounds of a column that know the memory."""
        self.seconds[rows] = (self.column.ttft if self.is_prefill else self.column.tpot)[rows]
        self.rates[rows] = self.column.rates(self._goal.facts)[rows]
        self.level[rows] = TIGHT
        self._settle(np.array(rows, dtype=np.int64))

    def priced(self, rows: Sequence[int], seconds: Sequence[float]) -> None:
        """Take prices; one below its bound counts as the bound, an infinite one does not fit."""
        column, steps = self.column, self._goal.facts.workload.output - 1
        self.seconds[rows] = np.maximum(self.seconds[rows], seconds)
        if self.is_prefill:
            self.rates[rows] = rate(column.requests[rows], np.maximum(column.filled[rows], self.seconds[rows]))
        else:
            # Outputs of one token take no decode steps, even of a service that does not fit.
            taken = steps * self.seconds[rows] if steps else np.zeros(len(rows))
            self.rates[rows] = rate(column.running[rows], taken)
        self.level[rows] = PRICED
        self._settle(np.array(rows, dtype=np.int64))

    def _settle(self, rows: npt.NDArray[np.int64]) -> None:
        """Leave out what misses a requirement or does not fit, each counted once, and put the rest in order."""
        rows = rows[np.isfinite(self.keys[rows])]
        seconds, rates = self.seconds[rows], self.rates[rows]
        out = np.isinf(seconds)
        self.over += int(out.sum())
        limited = seconds / self.column.ranks[rows]
        kinds = (
            (self._gpus_limit, self._gpus[rows], True),
            (self._seconds_limit, limited, True),
            (self._rate_limit, rates, False),
        )
        for limit, figures, is_ceiling in kinds:
            if limit is not None:
                is_missed = ~out & (exceeds if is_ceiling else falls_short)(figures, limit)
                out = out | is_missed
                self._miss(limit, figures[is_missed], is_ceiling=is_ceiling)
        self.keys[rows] = np.where(out, np.inf, self._needed(seconds, limited, rates))
        self._order = np.argsort(self.keys, kind="stable")

    def _miss(self, limit: GoalLimit, figures: Figures, *, is_ceiling: bool) -> None:
        if len(figures):
            nearest = float(figures.min() if is_ceiling else figures.max())
            self.missed.setdefault(limit.name, Missed(is_ceiling)).add(nearest, len(figures))
