"""What was found becomes the `SearchResult`: the front in order, the reason, and how far other strategies are from it.

Arranges and compares; it prices nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from dagc.metrics import THROUGHPUT, THROUGHPUT_PER_GPU, TPOT, TTFT, Metric
from dagc.plan.plan import Facts
from dagc.plan.workload import Per, Requirement
from dagc.results import search_result as out
from dagc.results.assessment import written
from dagc.results.facts import facts_of
from dagc.results.quantity import figure_text
from dagc.search.front import distance, dominates, factor
from dagc.search.incumbents import Incumbents, PricedStrategy, Tally
from dagc.search.space import ALWAYS, EXTRAS, Space
from dagc.search.verdict import OBJECTIVES, StrategyVerdict
from dagc.units import format_gpus, format_share

Status = Literal["front", "behind", "misses a requirement", "does not fit", "refused"]
"""Where a strategy stands."""

Placed = tuple[str, PricedStrategy]
"""A strategy's name, and what was found of it."""


Odds = Callable[[PricedStrategy, PricedStrategy], float | None]
"""How likely the first of two strategies has the lower TPOT."""


def assemble(
    facts: Facts, space: Space, found: Incumbents, given: Iterable[Placed], known: Iterable[Placed], odds: Odds
) -> out.SearchResult:
    """The result of a search; `given` are the plan's strategies, `known` the well-known ones."""
    front, nearest = found.ranked, None if found.front.vectors else found.nearest
    return out.SearchResult(
        model=facts.model.name,
        cluster=facts.cluster.name,
        facts=facts_of(facts),
        engine=f"{facts.engine.name} {facts.engine.version}" if facts.engine else None,
        searched=_searched(space),
        counts=_counts(found.tally),
        is_complete=found.is_complete,
        objectives=list(OBJECTIVES),
        ttft_definition=facts.workload.ttft_definition,
        front=[_plan(facts, entry) for entry in front],
        reason=_reason(facts, found, nearest),
        nearest=_plan(facts, nearest) if nearest else None,
        given=[_placed(facts, space.gpus, name, entry, front, odds) for name, entry in given],
        well_known=[_placed(facts, space.gpus, name, entry, front, odds) for name, entry in known],
    )


def _searched(space: Space) -> out.Searched:
    over = {name: text for name, text in EXTRAS.items() if name in space.over}
    rest = {name: text for name, text in EXTRAS.items() if name not in space.over}
    return out.Searched(gpus=space.gpus, batches=list(space.batches), always=ALWAYS, over=over, not_searched=rest)


def _counts(tally: Tally) -> out.Counts:
    return out.Counts(
        generated=tally.generated,
        decided=tally.decided,
        refused=dict(sorted(tally.refused.items())),
        weights_too_large=tally.memory,
        too_large=tally.over,
        bound_misses=dict(sorted(tally.missed.items())),
        bound_dominated=tally.dominated,
        priced=tally.priced,
        priced_missing=dict(sorted(tally.priced_missing.items())),
    )


def _plan(facts: Facts, entry: PricedStrategy) -> out.FoundPlan:
    return out.FoundPlan(
        strategy=entry.strategy,
        batch=entry.batch,
        gpus=int(entry.verdict.vector[0]),
        figures=dict(entry.verdict.figures),
        requirements=_requirements(facts, entry.verdict),
    )


def _requirements(facts: Facts, verdict: StrategyVerdict) -> list[out.RequirementFigure]:
    pairs = zip(facts.requirements, verdict.requirements, strict=True)
    return [
        out.RequirementFigure(
            name=asked.title,
            required=written(asked.comparison, asked.figure),
            figure=limited.name if (limited := _limited(asked)) else None,
            limit=asked.figure.value if limited else None,
            actual=one.actual,
            shown=None if one.actual is None else figure_text(one.actual, asked.figure),
            miss=one.miss,
        )
        for asked, one in pairs
    ]


def _limited(asked: Requirement) -> Metric | None:
    """The objective, or throughput per GPU, that a requirement limits; rates are those of output tokens."""
    if asked.metric is THROUGHPUT:
        per_gpu = THROUGHPUT_PER_GPU if asked.figure.per is Per.GPU else THROUGHPUT
        return per_gpu if asked.figure.kind in ("", "output") else None
    return asked.metric if asked.metric in (TTFT, TPOT) else None


def _reason(facts: Facts, found: Incumbents, nearest: PricedStrategy | None) -> str:
    so_far = "" if found.is_complete else " among the candidates decided so far"
    if found.front.vectors:
        unknown = [one.name for one in found.ranked[0].verdict.requirements if one.miss is None]
        met = "that meet every requirement" if facts.requirements else "that fit"
        met = f"that miss no requirement (`{unknown[0]}` under load is not simulated)" if unknown else met
        return f"fewest GPU-seconds per output token of the plans {met}{so_far}"
    if nearest is None and not found.is_complete:
        return "stopped before any plan that fits was priced"
    if nearest is None:
        smallest = found.smallest_memory
        return (
            f"no plan fits: the smallest needs {format_share(smallest)} of GPU memory" if smallest else "no plan fits"
        )
    worst = max(_requirements(facts, nearest.verdict), key=lambda one: one.miss or 0.0)
    return (
        f"no plan{so_far} meets every requirement; the nearest misses `{worst.name} {worst.required}`: "
        f"{worst.miss_text}"
    )


def _placed(
    facts: Facts, most: int, name: str, entry: PricedStrategy, front: Sequence[PricedStrategy], odds: Odds
) -> out.PlacedPlan:
    verdict = entry.verdict
    if verdict.code is not None:
        reason = f"rule {verdict.code}; see `dagc explain {verdict.code}`"
        return _without_figures(name, entry, "refused", reason)
    if verdict.is_over:
        return _without_figures(
            name, entry, "does not fit", f"needs {format_share(verdict.memory_share or 0.0)} of GPU memory"
        )
    gpus = int(verdict.vector[0])
    if gpus > most:
        return _without_figures(name, entry, "refused", f"needs {format_gpus(gpus)}, the search allows {most}")
    ahead = [one for one in front if dominates(one.verdict.vector, verdict.vector)]
    better = max(ahead, key=lambda one: (factor(verdict.vector, one.verdict.vector), one.rank), default=None)
    status, reason = _standing(facts, verdict, better)
    return out.PlacedPlan(
        name=name,
        strategy=entry.strategy,
        batch=entry.batch,
        status=status,
        reason=reason,
        figures=dict(verdict.figures),
        distance=distance(verdict.vector, [one.verdict.vector for one in front]),
        better=better.strategy if better else None,
        odds=odds(entry, front[0]) if front else None,
    )


def _without_figures(name: str, entry: PricedStrategy, status: Status, reason: str) -> out.PlacedPlan:
    return out.PlacedPlan(
        name=name,
        strategy=entry.strategy,
        batch=entry.batch,
        status=status,
        reason=reason,
        figures={},
        distance=None,
        better=None,
        odds=None,
    )


def _standing(facts: Facts, verdict: StrategyVerdict, better: PricedStrategy | None) -> tuple[Status, str]:
    pairs = zip(_requirements(facts, verdict), verdict.requirements, strict=True)
    missed = [shown for shown, one in pairs if one.is_missed]
    if missed:
        return "misses a requirement", "; ".join(map(_missed, missed))
    return ("behind", _behind(facts, verdict, better)) if better else ("front", "no plan is better")


def _missed(requirement: out.RequirementFigure) -> str:
    return f"misses `{requirement.name} {requirement.required}`: {requirement.miss_text}"


def _behind(facts: Facts, verdict: StrategyVerdict, better: PricedStrategy) -> str:
    """In which figures another plan is better, and by how much."""
    words: list[str] = []
    for name, own, other in zip(OBJECTIVES, verdict.vector, better.verdict.vector, strict=True):
        if own and own != other:
            is_idle = name == TTFT.name and facts.workload.ttft_definition == "idle server"
            title = TTFT.idle_title if is_idle else name
            words.append(f"{title} {format_share(abs(other / own - 1))} {'more' if abs(other) > abs(own) else 'less'}")
    return f"`{better.strategy}` has " + ", ".join(words)
