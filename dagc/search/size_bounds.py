"""Bounds of services of any size: the requests a second that a GPU yields at most under a load.

A load n is the sequences that a GPU of a service has, B / G where all B run on G GPUs; fewer may run. A GPU's share of
a service's requests follows from how its ranks are cut (`dagc.search.rank_times`). With s stages, m micro-batches and q
sequences of one on each of a ranks of attention, n = m q / (s a), and a decode step lasts at least

    max(path(q), m / s · (busy(q') - s · trailing))

where q' is q rounded down, as the smaller micro-batches may be. With no more micro-batches than stages q >= n a, and

    requests a GPU and second <= n / ((O - 1) TPOT(path(n a)))

With more, s / m lies in one of some intervals, whose upper end gives m / s and the most stages, and whose lower end q.

Where requests come and go a step of prefill has no more than k prompts on each rank of attention, as many as there is
room for, and each of s stages has one. The next one follows when a stage has passed on its own, 1 / s of path(k) or
later, so that

    requests a GPU and second <= k / (a path(k))

A pair on p and d GPUs yields no more than min(p P(B / p), d D(B / d)), a service for both phases on G no more than the
decode of G, each request of which has waited for a prompt's attention too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from math import ceil, inf

import numpy as np
import numpy.typing as npt

from dagc.degrees import Degrees
from dagc.plan.deployment import Phase
from dagc.search.bounds import Figures, LowerBounds, prompts_of_step
from dagc.search.candidate import ServiceShape
from dagc.search.goal import SLACK, Goal
from dagc.search.rank_times import AttentionClass, ExpertsClass, Level, Places, RankTimes
from dagc.search.space import MOST_MICRO, Families, Space
from dagc.search.yields import Yield, Yields

Flags = npt.NDArray[np.bool_]

EXACT_CP = 8
"""Up to this cp each degree is a class; larger ones are together with those up to a quarter more."""

RATIOS = 16
"""Intervals of stages over micro-batches."""

ROUNDS, CHOSEN = 6, 8
"""Rounds in which classes of experts that may be the best are worked out under all loads, and those of a round."""

CLOSE = 1.05
"""By what factor more a class has to yield to be looked at."""

SEEDS = 4
"""Classes of attention of which the usual classes of experts come first."""


class _Envelope:
    """The most that classes yield under each load, and which do.

    What no class is looked for that yields more of: a little more than is known, and what does not matter. Under a load
    of n times the `least`, which all GPUs have together, that is n times what a plan may yield anyway, the `floor`.
    """

    def __init__(self, ends: Figures, lowest: float, floor: float = 0.0) -> None:
        self.ends, self.lowest, self.floor = ends, lowest, floor
        self.requests = np.zeros(len(ends))
        self.classes: list[tuple[AttentionClass, ExpertsClass] | None] = [None] * len(ends)

    def add(self, attention: AttentionClass, experts: Sequence[ExpertsClass], rates: Figures) -> None:
        """Add some classes of experts."""
        rows = rates.argmax(axis=0)
        top = rates[rows, np.arange(len(self.ends))]
        for column in np.flatnonzero(top > self.requests).tolist():
            self.requests[column] = top[column]
            self.classes[column] = attention, experts[rows[column]]

    @property
    def needed(self) -> Figures:
        """Requests a second and GPU up to which classes need not be known."""
        starts = np.append(0.0, self.ends[:-1])
        return CLOSE * np.maximum(self.requests, self.floor * np.maximum(1.0, starts / self.lowest))

    def raise_floor(self, beside: float) -> None:
        """What a plan yields by GPU of all, the rest of which yield so much."""
        share = np.minimum(1.0, self.lowest / self.ends)
        rest = np.full(len(share), inf) if beside == inf else (1 - share) * beside
        self.floor = max(
            self.floor, float(np.minimum(rest, share * self.requests)[self.ends >= self.lowest].max(initial=0.0))
        )

    def rows(self) -> Iterator[Yield]:
        """The most of all, that fewer sequences yield too."""
        known: tuple[AttentionClass, ExpertsClass] | None = next(filter(None, self.classes), None)
        highest = 0.0
        for end, requests, classes in zip(
            self.ends.tolist(), (CLOSE * self.requests).tolist(), self.classes, strict=True
        ):
            if requests > highest:
                highest, known = requests, classes or known
            if known:
                yield Yield(end, highest, *known)


class SizeBounds:
    """Yields of services under the facts of one plan and one batch, each worked out once for what is required."""

    def __init__(self, space: Space, families: Families, bounds: LowerBounds, batch: int) -> None:
        self._space, self._families, self._batch = space, families, batch
        self._facts, workload = bounds.facts, bounds.facts.workload
        self._times = RankTimes(
            bounds.layer_bounds, bounds.times_of, workload.fresh, 1 + workload.drafted, *self._loads()
        )
        self._attentions, self._experts = self._attention_classes(), self._experts_classes()
        self._prefill = cache(self._prompts)
        self._known: dict[float, Yields] = {}

    def yields(self, goal: Goal) -> Yields:
        """What services yield that meet the requirement on TPOT."""
        limit = goal.limits(self._space.gpus).tpot
        most = limit.value * (1 + SLACK) if limit else inf
        if most not in self._known:
            self._known[most] = self._worked_out(most)
        return self._known[most]

    def _worked_out(self, most: float) -> Yields:
        prefill, ends = self._prefill(), np.append(self._times.loads[1:], max(self._batch, 2 * self._times.loads[-1]))
        pairs = _Envelope(ends, self._batch / self._space.gpus)
        has_pairs = "phase-pools" in self._space.over
        if has_pairs:
            self._decoded(pairs, most, Phase.DECODE, prefill.requests)
        whole = _Envelope(ends, pairs.lowest, pairs.floor)
        self._decoded(whole, most, Phase.BOTH, inf)
        rows = {Phase.PREFILL: (prefill,), Phase.BOTH: tuple(whole.rows())}
        rows[Phase.DECODE] = tuple(pairs.rows())
        return Yields(self._batch, self._facts.workload.output, self._space.gpus, CLOSE * whole.floor, rows)

    # Classes

    def _loads(self) -> tuple[Figures, Places]:
        """Ends of intervals of loads, close where all sequences run on most of the GPUs; and the places of a few."""
        lowest = self._batch / self._space.gpus
        below = lowest * 1.25 ** -np.arange(13, 0, -1.0)
        close = lowest * 1.04 ** np.arange(19.0)
        more = close[-1] * 1.08 ** np.arange(1.0, 7.0)
        far = more[-1] * 1.4 ** np.arange(1.0, 1 + ceil(np.log(self._space.gpus) / np.log(1.4)))
        loads = np.array([0.0, *below, lowest * (1 - 1e-6), *close, *more, *far])
        few = lowest * np.array([0.5, 0.79, 1 - 1e-6, 1.17, 1.36, 1.6, 2.0])
        return loads, np.unique([0, *(np.searchsorted(loads, few * (1 + 1e-9), side="right") - 1)])

    def _attention_classes(self) -> list[AttentionClass]:
        gpus = self._space.gpus
        found: list[AttentionClass] = []
        for tp in range(1, gpus + 1):
            if not self._is_legal(Degrees(tp=tp)):
                continue
            lowest = 1
            while lowest * tp <= gpus:
                most = min(gpus // tp, lowest if lowest <= EXACT_CP else max(lowest, int(lowest * 1.25)))
                found.append(AttentionClass(tp, lowest, most))
                lowest = most + 1
        return sorted(found, key=lambda one: one.ranks)

    def _is_legal(self, attention: Degrees) -> bool:
        """Whether some plan has this tp."""
        if not self._space.experts:
            return self._families.lets_pass(ServiceShape(1, 1, attention, Degrees(tp=attention.tp)))
        hosts = [ServiceShape(1, 1, Degrees(dp=ep, tp=attention.tp), Degrees(ep=ep)) for ep in (1, 2)]
        return any(map(self._families.lets_pass, hosts))

    def _experts_classes(self) -> list[ExpertsClass]:
        gpus, count = self._space.gpus, self._space.experts
        if not count:
            return [ExpertsClass(Degrees(), 1)]

        def is_legal(degrees: Degrees) -> bool:
            return self._families.lets_pass(ServiceShape(1, 1, Degrees(dp=degrees.width), degrees))

        wide = [ep for ep in range(1, min(gpus, count) + 1) if is_legal(Degrees(ep=ep))]
        cut = [tp for tp in range(1, gpus + 1) if is_legal(Degrees(tp=tp))]
        return [
            ExpertsClass(Degrees(ep=ep, tp=tp), overlap)
            for tp in cut
            for ep in wide
            if ep * tp <= gpus
            for overlap in ((1, 2) if ep > 1 else (1,))
        ]

    # Decode

    def _decoded(self, found: _Envelope, most: float, phase: Phase, beside: float) -> None:
        """Add what services yield that decode with a TPOT of no more than `most` seconds, those that are often best
        first; of a pair the other yields `beside` a GPU.
        """
        sizes = self._space.sizes
        experts = [
            one
            for one in self._experts
            if phase is Phase.DECODE or any(size % one.degrees.width == 0 for size in sizes)
        ]
        usual = [one for one in experts if one.degrees.width.bit_count() == one.overlap == 1 and one.degrees.tp == 1]
        for attention in self._attentions[:SEEDS]:
            found.add(attention, usual, self._rates(attention, usual, Level.FINE, found.ends, most, phase))
        found.raise_floor(beside)
        for attention in self._attentions:
            self._of_attention(attention, experts, found, most, phase)
            found.raise_floor(beside)

    def _of_attention(
        self, attention: AttentionClass, experts: Sequence[ExpertsClass], found: _Envelope, most: float, phase: Phase
    ) -> None:
        """Add what classes of experts yield: of those that may be the best all that is known, of others what is less.

        Each level costs more than the one before it, and leaves fewer classes.
        """
        left: list[ExpertsClass] = list(experts)
        rates = self._nothing(experts)
        for level in (Level.ATTENTION, Level.EXPERTS, Level.COARSE):
            asked = [one for one in left if one.overlap == 1][:1] if level is Level.ATTENTION else left
            rates = self._rates(attention, asked, level, found.ends, most, phase)
            is_left: Flags = np.asarray((rates > found.needed).any(axis=1))
            if not is_left.any():
                return
            if level is not Level.ATTENTION:
                left, rates = [one for one, may in zip(left, is_left.tolist(), strict=True) if may], rates[is_left]
        is_open: Flags = np.ones(len(left), dtype=np.bool_)
        for _ in range(ROUNDS):
            gain: Figures = np.where(is_open, (rates / np.maximum(found.needed, 1e-300)).max(axis=1), 0.0)
            chosen = np.argsort(-gain, kind="stable")[:CHOSEN]
            chosen = chosen[gain[chosen] > 1]
            if not len(chosen):
                return
            few: list[ExpertsClass] = [left[row] for row in chosen.tolist()]
            found.add(attention, few, self._rates(attention, few, Level.FINE, found.ends, most, phase))
            is_open[chosen] = False
        rest = [one for one, may in zip(left, is_open.tolist(), strict=True) if may]
        if rest:
            found.add(attention, rest, rates[is_open])

    def _nothing(self, experts: Sequence[ExpertsClass]) -> Figures:
        return np.zeros((len(experts), len(self._times.loads)))

    def _rates(
        self, attention: AttentionClass, experts: Sequence[ExpertsClass], level: Level, ends: Figures,
        most: float, phase: Phase,
    ) -> Figures:  # fmt: skip
        """Requests a second and GPU at most, by class of experts and load; 0 where TPOT is more than it may be."""
        times = self._times.stage(attention, experts, Phase.DECODE, level, is_both=phase is Phase.BOTH)
        waited = 0.0
        if phase is Phase.BOTH and self._facts.workload.concurrency is not None:
            waited = self._times.alone(attention)
        found = self._requests(times.path, ends, most, waited)
        loads, layers = self._times.loads, self._space.layers
        room = np.array([self._space.gpus // max(attention.ranks, one.degrees.width) for one in experts])
        for number in range(RATIOS):
            low, high = number / RATIOS, (number + 1) / RATIOS
            stages = np.minimum(min(layers, int(MOST_MICRO * high)), room)[:, None]
            sequences = loads * low * attention.ranks
            large = np.searchsorted(loads, loads * low * (1 - 1e-12), side="right") - 1
            small = np.maximum(0, np.searchsorted(loads, np.floor(sequences) / attention.ranks, side="left") - 1)
            busy = times.busy[:, small] - stages * times.trailing[:, small]
            step = np.maximum(times.path[:, large], busy / high)
            found = np.maximum(found, np.where(stages > 1, self._requests(step, ends, most, waited), 0.0))
        return found

    def _requests(self, step: Figures, ends: Figures, most: float, waited: float) -> Figures:
        workload, runtime = self._facts.workload, self._facts.runtime
        drafts = workload.drafted / self._space.layers
        tpot = (step * (1 + drafts) + runtime.host_seconds) / workload.tokens_per_step
        seconds = waited + (workload.output - 1) * tpot
        rates = np.divide(ends, seconds, out=np.full(tpot.shape, inf), where=seconds > 0)
        return np.where(tpot > most, 0.0, rates)

    # Prefill

    def _prompts(self) -> Yield:
        """What services yield that prefill."""
        times, together = self._times, prompts_of_step(self._facts, 1)
        tokens = self._facts.workload.fresh * together
        ways = [one for one in self._experts if one.overlap == 1]
        shares = [tokens / (1 << power) for power in range(6)]
        held = times.experts_alone(ways, shares)
        asked: list[tuple[float, int, int]] = []
        for number, attention in enumerate(self._attentions):
            lowest, of_rank = times.alone(attention, together), tokens // attention.most / attention.tp
            at = next((i for i, share in enumerate(shares) if share <= of_rank), None)
            beside = held[:, at] if at is not None else np.zeros(len(ways))
            rates = together / (attention.ranks * (lowest + beside))
            asked += [(float(rate), number, row) for row, rate in enumerate(rates)]
        asked.sort(reverse=True)
        best = Yield(float(self._batch), 0.0, self._attentions[0], ways[0])
        for start in range(0, len(asked), 64):
            some = [one for one in asked[start : start + 64] if one[0] > CLOSE * best.requests]
            if not some:
                break
            pairs = [(self._attentions[number], ways[row]) for _, number, row in some]
            for pair, seconds in zip(pairs, times.prompts(pairs, together), strict=True):
                rate = together / (pair[0].ranks * float(seconds))
                if rate > best.requests:
                    best = Yield(float(self._batch), rate, *pair)
        return replace(best, requests=CLOSE * best.requests)


def size_bounds(space: Space, families: Families, bounds: LowerBounds, batch: int) -> SizeBounds | None:
    """Bounds of services of any size; None where options are searched that these do not know, or loads are below 1."""
    is_usual = space.over <= {"phase-pools", "layers"} and batch >= space.gpus
    is_load = bounds.facts.workload.concurrency is not None and bounds.facts.workload.output > 1
    return SizeBounds(space, families, bounds, batch) if is_usual and is_load else None
