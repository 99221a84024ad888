"""Whether predictions put measured deployments in the right order, and what choosing by them costs.

A pair is two runs of the same model, precision, GPU, engine, version, lengths and load a GPU in one table, with another
strategy, whose measured TPOT is more than 10 % apart. Its kind says in what they differ: attention dp or not, experts
by ep or not, else the degree of tp. It is in order where the one that was measured faster is predicted faster. A
run that is a median over versions (`dagc.driver.serving_table`) has the newest of these.

A choice is made among the runs of one model, precision, GPU, engine, version and lengths, of any strategy and load, by
the rate of output tokens a second and GPU, concurrency / TPOT / GPUs: under a limit of TPOT that run is chosen whose
predicted rate is the highest of those predicted to meet the limit, or whose predicted TPOT is the lowest where none is.
Its regret is what is lost of the highest measured rate under the limit:

    regret = 1 - measured rate of the chosen / highest measured rate that meets the limit

A deployed strategy is measured, and its load set by what is measured. So regret is that of the chosen strategy
at the load that is best for it among those measured to meet the limit; it is 1 where none of its loads does.
`with_load` holds the predicted load too: it is 1 where the chosen run misses the limit. Choices with fewer than two
strategies, or under a limit that no run meets, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from dagc.catalog.serving_runs import ServingRun
from dagc.results.record import Versioned, record
from dagc.results.serving_validation import PredictedRun, by_group

KINDS = ("tp degree", "tp and ep", "attention dp")
LIMITS_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)

APART = 0.1
"""Measured times that differ by less are no order: repeats on one version differ by so much in one of ten."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs, of which `second` has the larger degree of the kind: attention dp, ep, or GPUs by tp."""

    kind: str
    first: PredictedRun
    second: PredictedRun

    @property
    def is_apart(self) -> bool:
        """Whether measured times are so far apart that they are an order."""
        low, high = sorted((self.first.run.tpot_seconds, self.second.run.tpot_seconds))
        return high / low - 1 > APART

    @property
    def is_ordered(self) -> bool:
        """Whether the one that was measured faster is predicted faster."""
        is_first = self.first.run.tpot_seconds < self.second.run.tpot_seconds
        return self.first.seconds != self.second.seconds and is_first == (self.first.seconds < self.second.seconds)


def pairs_of(runs: Iterable[PredictedRun]) -> Iterator[Pair]:
    """All pairs of runs alike in all but their strategy, near ones among them; none of suspect runs or of pools."""
    alike: dict[tuple[object, ...], list[PredictedRun]] = {}
    for one in _counted(runs):
        alike.setdefault((*_asked(one.run), one.run.concurrency / one.run.gpus), []).append(one)
    for members in alike.values():
        for pair in combinations(members, 2):
            first, second = sorted(pair, key=lambda one: _degrees(one.run))
            if _degrees(first.run) != _degrees(second.run):
                yield Pair(kind_of(_degrees(first.run), _degrees(second.run)), first, second)


def _counted(runs: Iterable[PredictedRun]) -> Iterator[PredictedRun]:
    return (one for one in runs if not one.run.suspect and not one.run.prefill)


def _asked(run: ServingRun) -> tuple[object, ...]:
    return run.table, run.model, run.precision, run.gpu, run.engine, run.version, run.prompt, run.output


Degrees = tuple[bool, bool, int, int, int]
"""Of one worker: whether it has attention dp, and ep; its GPUs, attention dp, and ep."""


def _degrees(run: ServingRun) -> Degrees:
    worker = run.worker
    return degrees_of(worker.gpus, worker.adp, worker.ep)


def degrees_of(gpus: int, adp: int, ep: int) -> Degrees:
    """Degrees in an order in which the later of two has the larger degree of the kind in which they differ."""
    return adp > 1, ep > 1, gpus, adp, ep


def kind_of(first: Degrees, second: Degrees) -> str:
    """In what two differ: one of `KINDS`."""
    return KINDS[2] if first[0] != second[0] else KINDS[1] if first[1] != second[1] else KINDS[0]


@record
class OrderShare:
    """Share of the pairs of a kind that are in order; `by_group` counts each group of model, GPU and engine once.

    `worst` is the group with the smallest share.
    """

    kind: str
    pairs: int
    ordered: float
    groups: int
    by_group: float
    worst: str


@record
class Regret:
    """Mean regret of choices under a limit of TPOT in seconds, or under all of them (None).

    `worst` is the group of model, GPU and engine with the largest one.
    """

    limit_seconds: float | None
    choices: int
    regret: float
    with_load: float
    worst: str


@record
class OrderTable:
    """Order and regret of some runs; `runs` says which."""

    runs: str
    shares: list[OrderShare]
    regrets: list[Regret]


@record
class PlanOrder(Versioned):
    """All runs, and without those that were to be left out."""

    tables: list[OrderTable]


def plan_order(runs: Sequence[PredictedRun], without: str = "") -> PlanOrder:
    """Order and regret of all runs; again without runs that have all the words of `without`, if there are any."""
    tables = [_table("all", runs)]
    if without:
        tables.append(_table(f"without {without}", [one for one in runs if not is_named(one.run, without)]))
    return PlanOrder(tables=tables)


def is_named(run: ServingRun, words: str) -> bool:
    """Whether a run has each of the words: of its model, precision, GPU, engine, version, or kind of strategy."""
    return all(word in run.words for word in words.lower().split())


def _table(name: str, runs: Sequence[PredictedRun]) -> OrderTable:
    pairs = [pair for pair in pairs_of(runs) if pair.is_apart]
    kinds = [(kind, [pair for pair in pairs if pair.kind == kind]) for kind in KINDS]
    shares = [_share(kind, found) for kind, found in (*kinds, ("all", pairs)) if found]
    return OrderTable(runs=name, shares=shares, regrets=_regrets(runs))


def _share(kind: str, pairs: Sequence[Pair]) -> OrderShare:
    groups: dict[str, list[bool]] = {}
    for pair in pairs:
        groups.setdefault(pair.first.run.group, []).append(pair.is_ordered)
    worst = min(groups, key=lambda group: (mean(groups[group]), group))
    return OrderShare(
        kind=kind,
        pairs=len(pairs),
        ordered=mean(pair.is_ordered for pair in pairs),
        groups=len(groups),
        by_group=mean(mean(found) for found in groups.values()),
        worst=f"{worst}: {sum(groups[worst])} of {len(groups[worst])}",
    )


def _regrets(runs: Sequence[PredictedRun]) -> list[Regret]:
    choices = [
        found for found in by_group(_counted(runs), lambda run: repr(_asked(run))).values() if _strategies(found) > 1
    ]
    found = {
        limit: [(members[0].run.group, *regret) for members in choices if (regret := regret_of(members, limit))]
        for limit in LIMITS_SECONDS
    }
    rows = [_regret(limit, regrets) for limit, regrets in found.items() if regrets]
    return [*rows, _regret(None, [one for regrets in found.values() for one in regrets])] if rows else []


def _strategies(members: Sequence[PredictedRun]) -> int:
    return len({_degrees(one.run) for one in members})


def _regret(limit: float | None, found: Sequence[tuple[str, float, float]]) -> Regret:
    """Of choices, each with its group and both regrets."""
    groups = {group: [regret for other, regret, _ in found if other == group] for group, _, _ in found}
    worst = max(groups, key=lambda group: (mean(groups[group]), group))
    return Regret(
        limit_seconds=limit,
        choices=len(found),
        regret=mean(regret for _, regret, _ in found),
        with_load=mean(with_load for _, _, with_load in found),
        worst=f"{worst}: {mean(groups[worst]) * 100:.1f} %",
    )


def regret_of(members: Sequence[PredictedRun], limit: float) -> tuple[float, float] | None:
    """Regret of a choice among runs, its load set by measurement or as predicted; None where no run meets the limit."""
    best = _highest(members, limit)
    if best is None:
        return None
    meeting = [one for one in members if one.seconds <= limit]
    chosen = (
        max(meeting, key=lambda one: _rate(one.run, one.seconds))
        if meeting
        else min(members, key=lambda one: one.seconds)
    )
    own = _highest([one for one in members if _degrees(one.run) == _degrees(chosen.run)], limit)
    is_met = chosen.run.tpot_seconds <= limit
    with_load = 1 - _rate(chosen.run, chosen.run.tpot_seconds) / best if is_met else 1.0
    return 1 - (own or 0.0) / best, with_load


def _highest(members: Sequence[PredictedRun], limit: float) -> float | None:
    """The highest measured rate of runs that were measured to meet the limit."""
    rates = [_rate(one.run, one.run.tpot_seconds) for one in members if one.run.tpot_seconds <= limit]
    return max(rates, default=None)


def _rate(run: ServingRun, tpot_seconds: float) -> float:
    """Output tokens a second and GPU."""
    return run.concurrency / tpot_seconds / run.gpus
