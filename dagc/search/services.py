"""Services by phase and GPUs, enumerated when they are first asked for, with the bounds that are known of each.

A column has the services of one phase on one number of GPUs under one batch whose weights fit, and how many strategies
of their families fell to rules and to memory. Bounds begin with the sequences that surely run at once, which are most
often all of them; `tighten` puts in those that know the memory, for the services that a search turns to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.search.bounds import (
    Figures,
    LowerBounds,
    ServiceBound,
    fills_pipeline,
    launch_seconds,
    prompt_ranks,
    prompts_of_step,
    rate,
)
from dagc.search.candidate import Candidate, PoolForm, ServicePlan, alone, spell
from dagc.search.size_bounds import SizeBounds, size_bounds
from dagc.search.space import Families, FamilyKey, Refusals, Space

Tighten = Callable[[Sequence[tuple[ServicePlan, int]]], list[ServiceBound]]
"""Takes services, each under a batch, to bounds that know their memory."""


@dataclass(slots=True)
class FamilyCount:
    """A family in numbers: strategies that rules refuse, by code, and those whose weights do not fit.

    `smallest` is the smallest share of a device that weights take which do not fit, and `example` a strategy with it.
    """

    key: FamilyKey
    refused: Counter[str]
    weights: int = 0
    smallest: float | None = None
    example: str | None = None


@dataclass(slots=True, eq=False)
class ServiceColumn:
    """Services of one phase that take so many GPUs. Arrays have shape (services,).

    `family` is the place of a service's in `families`. It prefills no more than `requests` in `filled` seconds, and has
    one on each of `ranks` of a replica in TTFT (1 of a decode service); `running` are those that it decodes at most.
    `is_tight` where bounds know the memory; seconds are infinite where it does not fit. `hoped` is TPOT at least if
    caches hold all sequences: what is tried first goes by it.
    """

    phase: Phase
    gpus: int
    batch: int
    families: list[FamilyCount]
    services: list[ServicePlan]
    family: npt.NDArray[np.int64]
    requests: npt.NDArray[np.int64]
    filled: Figures
    ranks: npt.NDArray[np.int64]
    ttft: Figures
    tpot: Figures
    running: npt.NDArray[np.int64]
    hoped: Figures
    is_tight: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Services that fit by their weights."""
        return len(self.services)

    @property
    def ttft_alone(self) -> Figures:
        """TTFT at least of a request alone, which a limit on TTFT is for (`dagc.results.measured`)."""
        return self.ttft / self.ranks

    def tighten(self, rows: Sequence[int], bounds: Sequence[ServiceBound]) -> None:
        """Put in bounds that know the memory."""
        for row, bound in zip(rows, bounds, strict=True):
            self.ttft[row] = max(self.ttft[row], bound.ttft)
            self.filled[row] = max(self.filled[row], bound.ttft)
            self.tpot[row] = max(self.tpot[row], bound.tpot)
            self.running[row] = bound.running
            self.is_tight[row] = True

    def rates(self, facts: Facts, tpot: Figures | None = None) -> Figures:
        """Requests a second at most: of prefill, of decode, or of both phases on the same GPUs; with another TPOT."""
        steps, tpot = facts.workload.output - 1, self.tpot if tpot is None else tpot
        if self.phase is Phase.PREFILL:
            return rate(self.requests, self.filled)
        # Of a service that does not fit TPOT has no end, and an output of one token has no step.
        decoding = steps * tpot if steps else np.where(np.isinf(tpot), np.inf, 0.0)
        return rate(self.running, decoding if self.phase is Phase.DECODE else self.ttft + decoding)


class Services:
    """The columns of a space, each enumerated once."""

    def __init__(
        self, space: Space, refusals: Refusals, weigh: Callable[[Candidate], float],
        held: Callable[[ServicePlan, int], int], bounds: LowerBounds,
    ) -> None:  # fmt: skip
        """`weigh` gives the share of a device that weights take, `held` how many of a batch surely run at once."""
        self._space, self._refusals, self._weigh, self._held, self._bounds = space, refusals, weigh, held, bounds
        self._families: dict[tuple[Phase, int], Families] = {}
        self._columns: dict[tuple[Phase, int, int], ServiceColumn] = {}
        self._size_bounds: dict[int, SizeBounds | None] = {}

    def size_bounds(self, batch: int) -> SizeBounds | None:
        """Bounds of services of any size; None where what is searched has more than these know of."""
        if batch not in self._size_bounds:
            families = Families(self._space, self._refusals, batch)
            self._size_bounds[batch] = size_bounds(self._space, families, self._bounds, batch)
        return self._size_bounds[batch]

    def is_known(self, phase: Phase, gpus: int, batch: int) -> bool:
        """Whether a column is enumerated."""
        return (phase, gpus, batch) in self._columns

    def column(self, phase: Phase, gpus: int, batch: int) -> ServiceColumn:
        """The services of a phase on exactly so many GPUs."""
        key = phase, gpus, batch
        if key not in self._columns:
            self._columns[key] = self._enumerated(*key)
        return self._columns[key]

    def _enumerated(self, phase: Phase, gpus: int, batch: int) -> ServiceColumn:
        if (phase, batch) not in self._families:
            self._families[phase, batch] = Families(self._space, self._refusals, batch, phase)
        families = self._families[phase, batch]
        counts: list[FamilyCount] = []
        services: list[ServicePlan] = []
        of_family: list[int] = []
        for family in families.families(gpus, gpus):
            count = FamilyCount(family.key, family.refused)
            for shape in family.shapes:
                plain = alone(shape, batch)
                share = self._weigh(plain)
                if share > 1:
                    count.weights += families.members(shape)
                    if count.smallest is None or share < count.smallest:
                        count.smallest, count.example = share, spell(plain)
                    continue
                options = [ServicePlan(shape, one, phase) for one in self._space.options(shape, phase, batch)]
                services += options
                of_family += [len(counts)] * len(options)
            counts.append(count)
        families_of = np.array(of_family, dtype=np.int64)
        return self._bounded(phase, gpus, batch, counts, services, families_of)

    def _bounded(
        self, phase: Phase, gpus: int, batch: int, counts: list[FamilyCount], services: list[ServicePlan],
        family: npt.NDArray[np.int64],
    ) -> ServiceColumn:  # fmt: skip
        entering = [self._bounds.entering(one.shape, batch) for one in services]
        held = [batch if phase is Phase.PREFILL else self._held(one, batch) for one in services]
        asked = list(zip(services, entering, held, strict=True))
        ttft, tpot = self._bounds.seconds_of(asked)
        hoped, is_full = tpot.copy(), np.array(held, dtype=np.int64) == batch
        rest = np.flatnonzero(~is_full).tolist()
        hoped[rest] = self._bounds.seconds_of([(services[row], entering[row], batch) for row in rest])[1]
        # Prompts that come between steps, and memory of prefill, are known only where a bound is tightened.
        is_tight = is_full if phase is Phase.DECODE else np.zeros(len(services), dtype=np.bool_)
        is_decode, facts = phase is Phase.DECODE, self._bounds.facts
        requests, filled = np.array(entering, dtype=np.int64), ttft.copy()
        if phase is Phase.PREFILL and facts.workload.concurrency is not None:
            requests, filled = self._full_steps(services, batch)
        running = np.full(len(services), batch)
        ranks = np.array([1 if is_decode else prompt_ranks(facts, one.shape) for one in services], dtype=np.int64)
        return ServiceColumn(
            phase, gpus, batch, counts, services, family, requests, filled, ranks, ttft, tpot, running, hoped, is_tight
        )

    def _full_steps(self, services: Sequence[ServicePlan], batch: int) -> tuple[npt.NDArray[np.int64], Figures]:
        """Requests of services that prefill alone, and seconds at least from their begin to that of the next ones.

        No step leaves a pipeline earlier than a stage's mean share of it after the one before, so that as many steps as
        there are stages take no less than one. A step with a part of a prompt more yields no more for each prompt.
        """
        facts, entering = self._bounds.facts, self._bounds.entering
        # Asked for some ten thousand services, which differ in few of these.
        room, launch = cache(partial(prompts_of_step, facts)), cache(partial(launch_seconds, facts))
        shapes = [one.shape for one in services]
        together = [room(one.attention.dp) if one.form is PoolForm.SHARED else 1 for one in shapes]
        asked = [(one, entering(one.shape, batch, n), batch) for one, n in zip(services, together, strict=True)]
        under_way = [one.stages if fills_pipeline(facts, one) else 1 for one in shapes]
        each = zip(shapes, together, under_way, strict=True)
        requests = [entering(one, batch, n * steps) for one, n, steps in each]
        exchanges = [one.attention.dp > 1 and one.experts.ep > 1 for one in shapes]
        launches = [n * launch(is_exchange) for is_exchange, n in zip(exchanges, under_way, strict=True)]
        return np.array(requests, dtype=np.int64), np.maximum(self._bounds.seconds_of(asked)[0], launches)
