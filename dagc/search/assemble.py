"""What was found becomes the `SearchResult`: the front in order, the reason, and how far other strategies are from it.

Arranges and compares; it prices nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dagc.metrics import TPOT, TTFT
from dagc.plan.plan import Facts
from dagc.results import search_result as out
from dagc.results.assessment import written
from dagc.results.facts import facts_of
from dagc.results.quantity import figure_text
from dagc.search.budget import Budget
from dagc.search.choice import UNKNOWN, LoadFigures, PlanChoice
from dagc.search.front import distance, dominates, factor
from dagc.search.goal import Goal
from dagc.search.incumbents import Incumbents, PricedStrategy, Tally
from dagc.search.optimum import GoalResult
from dagc.search.proof import proof_of
from dagc.search.recommend import reason_of, recommended, relaxation, requirement_figures, simulated_relaxations
from dagc.search.relax import Relaxed
from dagc.search.space import ALWAYS, EXTRAS, Space
from dagc.search.ties import Odds
from dagc.search.verdict import OBJECTIVES, StrategyVerdict
from dagc.units import format_gpus, format_share

Status = Literal["front", "behind", "misses a requirement", "does not fit", "refused"]
"""Where a strategy stands."""

Placed = tuple[str, PricedStrategy]
"""A strategy's name, and what was found of it."""


@dataclass(frozen=True, slots=True)
class SearchFindings:
    """All that a search found: an answer for each batch, the front in the order of recommendation, which of it is
    recommended by what it does under load, and what would have to give where no plan meets the requirements. The `ties`
    after the first plan tie with it. `odds` are those of two strategies.
    """

    answers: Sequence[GoalResult]
    incumbents: Incumbents
    ranked: Sequence[PricedStrategy]
    ties: int
    choice: PlanChoice
    relaxed: Sequence[Relaxed]
    budget: Budget
    odds: Odds


def assemble(
    facts: Facts, space: Space, goal: Goal, found: SearchFindings, given: Iterable[Placed], known: Iterable[Placed]
) -> out.SearchResult:
    """The result of a search; `given` are the plan's strategies, `known` the well-known ones."""
    incumbents, front, choice = found.incumbents, found.ranked, found.choice
    nearest = None if incumbents.front.vectors else incumbents.nearest
    plans = [
        _plan(facts, entry, is_tied=0 < index <= found.ties, load=choice.load_of(entry))
        for index, entry in enumerate(front)
    ]
    sizes = space.sizes
    return out.SearchResult(
        model=facts.model.name,
        cluster=facts.cluster.name,
        facts=facts_of(facts),
        engine=f"{facts.engine.name} {facts.engine.version}" if facts.engine else None,
        searched=_searched(space),
        counts=_counts(incumbents.tally),
        is_complete=incumbents.is_complete,
        objectives=list(OBJECTIVES),
        ttft_definition=facts.workload.ttft_definition,
        front=plans,
        recommended=recommended(goal, front, choice, found.answers),
        reason=_reason(facts, goal, found, nearest),
        nearest=_plan(facts, nearest) if nearest else None,
        given=[_placed(facts, sizes, name, entry, found) for name, entry in given],
        well_known=[_placed(facts, sizes, name, entry, found) for name, entry in known],
        objective=goal.objective,
        proofs=[proof_of(answer) for answer in found.answers],
        proven=("best" if front else "no plan") if all(one.is_proven for one in found.answers) else "nothing",
        budget=out.Budgeted(evaluations=found.budget.evaluations, ended_by=found.budget.ended_by or "complete"),
        relaxations=[
            *(_relaxation(goal, one, choice) for one in found.relaxed),
            *simulated_relaxations(goal, front, choice),
        ],
        ratio=choice.figures.ratio,
        simulation_order=_reordered(plans, goal),
        question="",
    )


def _relaxation(goal: Goal, one: Relaxed, choice: PlanChoice) -> out.Relaxation:
    facts, entry = goal.facts, one.plan
    judged = choice.load_of(entry).judged
    missed = [asked.name for index, asked in enumerate(judged) if index != one.what and asked.is_missed]
    if isinstance(one.what, int):
        asked = facts.requirements[one.what]
        judged = entry.verdict.requirements[one.what]
        what, written_as = asked.title, written(asked.comparison, asked.figure)
        needed = "-" if judged.actual is None else f"{asked.comparison} {figure_text(judged.actual, asked.figure)}"
    elif one.what == "load":
        what = "batch" if facts.workload.concurrency is None else "concurrency"
        written_as, needed = str(goal.batch), str(entry.batch)
    else:
        what, written_as, needed = "gpus", str(facts.cluster.gpus or ""), str(int(entry.verdict.vector[0]))
    return relaxation(entry, what, written_as, needed, is_minimal=one.is_minimal, missed=missed)


def _reordered(plans: Sequence[out.FoundPlan], goal: Goal) -> str | None:
    """The strategy that simulated requests put first of those that meet the requirements, where it is not the first.

    None where a stated rate is what all of them yield.
    """
    objective, workload = goal.objective, goal.facts.workload
    if workload.requests_per_second is not None and objective not in ("tpot", "ttft"):
        return None
    known = [(one, one.simulated) for one in plans if one.simulated and one.simulated.met is not False]
    if len(known) < 2 or known[0][0] is not plans[0]:
        return None
    keys: dict[str, Callable[[out.FoundPlan, out.SimulatedPlan], float]] = {
        "throughput": lambda _, load: -load.output_tokens_per_second,
        "tpot": lambda _, load: load.tpot_p50 or 0.0,
        "ttft": lambda _, load: load.ttft_p50 or 0.0,
        "gpus": lambda plan, _: plan.gpus,
    }
    key = keys.get(objective, lambda plan, load: -load.output_tokens_per_second / plan.gpus)
    first, _ = min(known, key=lambda one: key(*one))
    return None if first is plans[0] else first.strategy


def _searched(space: Space) -> out.Searched:
    over = {name: text for name, text in EXTRAS.items() if name in space.over}
    rest = {name: text for name, text in EXTRAS.items() if name not in space.over}
    return out.Searched(
        fewest=space.fewest, gpus=space.gpus, batches=list(space.batches), always=ALWAYS, over=over, not_searched=rest
    )


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


def _plan(facts: Facts, entry: PricedStrategy, *, is_tied: bool = False, load: LoadFigures = UNKNOWN) -> out.FoundPlan:
    return out.FoundPlan(
        strategy=entry.strategy,
        batch=entry.batch,
        gpus=int(entry.verdict.vector[0]),
        figures=dict(entry.verdict.figures),
        requirements=requirement_figures(facts, load.judged or entry.verdict.requirements),
        tied=is_tied,
        highest=load.highest,
        simulated=load.simulated,
    )


def _reason(facts: Facts, goal: Goal, found: SearchFindings, nearest: PricedStrategy | None) -> str:
    is_proven = all(one.is_proven for one in found.answers)
    so_far = "" if is_proven else " among the candidates decided so far"
    if found.ranked:
        return reason_of(goal, found.ranked, found.choice) + so_far
    if nearest is None and not is_proven:
        return "stopped before any plan that fits was priced"
    if nearest is None:
        shares = [one.count.smallest for answer in found.answers for one in answer.families]
        smallest = min((one for one in shares if one is not None), default=None)
        return (
            f"no plan fits: the smallest needs {format_share(smallest)} of GPU memory" if smallest else "no plan fits"
        )
    worst = max(requirement_figures(facts, nearest.verdict.requirements), key=lambda one: one.miss or 0.0)
    return (
        f"no plan{so_far} meets every requirement; the nearest misses `{worst.name} {worst.required}`: "
        f"{worst.miss_text}"
    )


def _placed(facts: Facts, sizes: range, name: str, entry: PricedStrategy, found: SearchFindings) -> out.PlacedPlan:
    verdict, front = entry.verdict, found.ranked
    if verdict.code is not None:
        reason = f"rule {verdict.code}; see `dagc explain {verdict.code}`"
        return _without_figures(name, entry, "refused", reason)
    if verdict.is_over:
        return _without_figures(
            name, entry, "does not fit", f"needs {format_share(verdict.memory_share or 0.0)} of GPU memory"
        )
    gpus = int(verdict.vector[0])
    if gpus not in sizes:
        allowed = format_gpus(sizes[-1]) if len(sizes) == 1 else f"{sizes[0]} to {format_gpus(sizes[-1])}"
        return _without_figures(name, entry, "refused", f"takes {format_gpus(gpus)}, the search is of {allowed}")
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
        odds=_odds(entry, front[0], found.odds) if front else None,
    )


def _odds(entry: PricedStrategy, best: PricedStrategy, odds: Odds) -> float | None:
    """How likely a strategy has a lower TPOT than the best; None where they are alike."""
    own, lowest = (dict(one.verdict.figures).get(TPOT.name) for one in (entry, best))
    return odds(entry, best, own / lowest) if own and lowest and own != lowest else None


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
    pairs = zip(requirement_figures(facts, verdict.requirements), verdict.requirements, strict=True)
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
