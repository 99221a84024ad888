"""The recommendation of a search in words and numbers: which plan, under which load, why, and what else would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.metrics import THROUGHPUT, THROUGHPUT_PER_GPU, TPOT, TTFT, Metric
from dagc.plan.plan import Facts
from dagc.plan.workload import Per, Requirement
from dagc.results import search_result as out
from dagc.results.assessment import written
from dagc.results.quantity import figure_text
from dagc.search.choice import LoadFigures, PlanChoice
from dagc.search.goal import WORDS, Goal
from dagc.search.incumbents import PricedStrategy
from dagc.search.optimum import GoalResult
from dagc.search.verdict import Judged


def recommended(
    goal: Goal, ranked: Sequence[PricedStrategy], choice: PlanChoice, answers: Sequence[GoalResult]
) -> out.Recommended | None:
    """The plan that is chosen; None where none is."""
    chosen = choice.chosen
    if chosen is None:
        return None
    return out.Recommended(
        strategy=chosen.strategy,
        batch=chosen.batch,
        gpus=int(chosen.verdict.vector[0]),
        is_lowered=choice.is_lowered,
        figures=dict(chosen.verdict.figures),
        requirements=requirement_figures(goal.facts, choice.figures.judged or chosen.verdict.requirements),
        simulated=choice.figures.simulated,
        passed_over=[one.strategy for one in _passed_over(goal, ranked, choice)],
        gap=None if choice.is_lowered else _gap(goal.score_of(chosen.verdict), answers),
    )


def _passed_over(goal: Goal, ranked: Sequence[PricedStrategy], choice: PlanChoice) -> list[PricedStrategy]:
    """Plans with a better score than the one that is chosen: simulated requests miss what is required."""
    if choice.chosen is None or choice.is_lowered:
        return []
    score = goal.score_of(choice.chosen.verdict)
    return [one for one in ranked if choice.misses(one) and goal.score_of(one.verdict) < score]


def _gap(score: float, answers: Sequence[GoalResult]) -> float | None:
    """By which share a plan that was not simulated may have a better score at most; None where nothing limits it."""
    floors = [min(one.best.score if one.best.entry else one.best_bound, one.best_bound) for one in answers]
    lowest = min(floors, default=0.0)
    return max(0.0, score / lowest - 1) if lowest > 0 else None


def reason_of(goal: Goal, ranked: Sequence[PricedStrategy], choice: PlanChoice) -> str:
    """Why the plan is recommended that is; what simulated requests miss where none is under the load that was asked."""
    words, chosen = WORDS[goal.objective] if goal.objective != "miss" else "", choice.chosen
    if chosen is None or choice.is_lowered:
        number = len(choice.loads)
        plans = "the plan that was" if number == 1 else f"none of the {number} plans that were"
        does_not = f"{plans} simulated {'misses a' if number == 1 else 'meets every'} requirement"
        if chosen is None:
            return does_not
        return f"{does_not} with {goal.batch:,} requests in flight; with {chosen.batch:,} `{chosen.strategy}` meets all"
    passed_over = _passed_over(goal, ranked, choice)
    if passed_over:
        number = len(passed_over)
        higher = "one that ranks higher misses" if number == 1 else f"{number} that rank higher miss"
        return f"{words} of the plans whose simulated requests meet every requirement; {higher} one"
    judged = choice.figures.judged or chosen.verdict.requirements
    unknown = [one.name for one in judged if one.miss is None]
    met = "that meet every requirement" if goal.facts.requirements else "that fit"
    met = f"that miss no requirement (`{unknown[0]}` under load is no part of the order)" if unknown else met
    return f"{words} of the plans {met}"


def simulated_relaxations(goal: Goal, ranked: Sequence[PricedStrategy], choice: PlanChoice) -> Iterator[out.Relaxation]:
    """What would do where simulated requests miss: the lower load, and each requirement on them as far as a plan has it
    that misses no other.
    """
    if choice.chosen is not None and not choice.is_lowered:
        return
    if choice.chosen is not None:
        yield relaxation(choice.chosen, "concurrency", str(goal.batch), str(choice.chosen.batch))
    for index, asked in enumerate(goal.facts.requirements):
        alone = [(choice.load_of(one).judged, one) for one in ranked if _misses_alone(choice.load_of(one), index)]
        nearest = min(alone, key=lambda one: one[0][index].miss or 0.0, default=None)
        if nearest and (actual := nearest[0][index].actual) is not None:
            needed = f"{asked.comparison} {figure_text(actual, asked.figure)}"
            yield relaxation(nearest[1], asked.title, written(asked.comparison, asked.figure), needed)


def _misses_alone(load: LoadFigures, index: int) -> bool:
    """Whether a plan's simulated requests miss one requirement and no other."""
    return [number for number, one in enumerate(load.judged) if one.miss != 0] == [index]


def relaxation(
    plan: PricedStrategy, what: str, asked: str, needed: str, *, is_minimal: bool = False, missed: Sequence[str] = ()
) -> out.Relaxation:
    """What would do, with the plan that shows it and what its simulated requests miss all the same."""
    return out.Relaxation(
        what=what,
        asked=asked,
        needed=needed,
        strategy=plan.strategy,
        batch=plan.batch,
        gpus=int(plan.verdict.vector[0]),
        figures=dict(plan.verdict.figures),
        is_minimal=is_minimal,
        simulated_misses=list(missed),
    )


def requirement_figures(facts: Facts, judged: Sequence[Judged]) -> list[out.RequirementFigure]:
    """Verdicts on the requirements as a result shows them."""
    pairs = zip(facts.requirements, judged, strict=True)
    return [
        out.RequirementFigure(
            name=asked.title,
            required=written(asked.comparison, asked.figure),
            figure=limited.name if (limited := _limited(asked)) else None,
            limit=asked.figure.value if limited else None,
            actual=one.actual,
            shown=_shown(asked, one),
            miss=one.miss,
        )
        for asked, one in pairs
    ]


def _shown(asked: Requirement, one: Judged) -> str | None:
    if one.actual is None:
        return "unbounded" if one.miss else None
    return figure_text(one.actual, asked.figure)


def _limited(asked: Requirement) -> Metric | None:
    """The objective, or throughput per GPU, that a requirement limits; rates are those of output tokens."""
    if asked.metric is THROUGHPUT:
        per_gpu = THROUGHPUT_PER_GPU if asked.figure.per is Per.GPU else THROUGHPUT
        return per_gpu if asked.figure.kind == "output" else None
    return asked.metric if asked.metric in (TTFT, TPOT) else None
