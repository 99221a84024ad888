"""The recommendation of a search is checked: what is passed over for it misses, and what is recommended meets.

Requests are simulated again, on the plan that is recommended and on each that is better by the objective, or on all
that were simulated where none of these is recommended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, isclose

from dagc.driver.simulated_plan import SimulatedRequests, decides
from dagc.driver.verify_yields import Wrong
from dagc.plan.plan import Facts
from dagc.results.assessment import all_met
from dagc.results.search_result import FoundPlan, Recommended, SearchResult

CLOSE = 1e-9

Simulate = Callable[[str, int], SimulatedRequests | None]
"""Takes a strategy and a batch to its simulated requests; None where nothing compiles."""


def wrong_choice(result: SearchResult, facts: Facts, simulate: Simulate) -> Iterator[Wrong]:
    """Everything that is wrong with the recommendation of a result."""
    best = result.recommended
    if decides(facts):
        yield from _relaxations(result, simulate)
    if best is None or best.is_lowered:
        yield from _without_plan(result, simulate)
    if best is None:
        return
    if best.is_lowered:
        if best.batch >= max((one.batch for one in result.front), default=0):
            yield ("recommended", "batch"), f"{best.batch} is no lower load than was asked"
    else:
        yield from _first(result, best, simulate)
    found = simulate(best.strategy, best.batch)
    if found is None or found.record != best.simulated:
        yield ("recommended", "simulated"), f"simulated requests of `{best.strategy}` have other figures"
    if found is None or found.met is False or (best.is_lowered and not found.met):
        yield ("recommended", "strategy"), f"simulated requests of `{best.strategy}` miss a requirement"
    shown = all_met(None if one.miss is None else not one.miss for one in best.requirements)
    if found and shown is not found.met and (found.record or shown is False):
        yield ("recommended", "requirements"), f"simulated requests of `{best.strategy}` say otherwise"


def _relaxations(result: SearchResult, simulate: Simulate) -> Iterator[Wrong]:
    """Simulated requests of what would do miss what is said, beside the requirement that is relaxed."""
    for number, one in enumerate(result.relaxations):
        found = simulate(one.strategy, one.batch)
        missed = [other.name for other in found.requirements if other.ok is False] if found else []
        if [name for name in missed if name != one.what] != one.simulated_misses:
            yield ("relaxations", number, "simulated_misses"), f"simulated requests of `{one.strategy}` miss others"


def _without_plan(result: SearchResult, simulate: Simulate) -> Iterator[Wrong]:
    for number, one in enumerate(result.front):
        found = simulate(one.strategy, one.batch) if one.simulated else None
        if one.simulated and (found is None or found.met is not False or found.record != one.simulated):
            yield ("front", number, "simulated"), f"simulated requests of `{one.strategy}` miss no requirement"
    if result.front and not any(one.simulated for one in result.front):
        yield ("recommended",), "no plan of the front was simulated, and none is recommended"


def _first(result: SearchResult, best: Recommended, simulate: Simulate) -> Iterator[Wrong]:
    """It is the first of the front, and what is better by the objective was passed over."""
    first = next(iter(result.front), None)
    if first is None or (first.strategy, first.batch, first.gpus) != (best.strategy, best.batch, best.gpus):
        yield ("recommended", "strategy"), f"`{best.strategy}` is not the first plan of the front"
        return
    for name in ("figures", "requirements", "simulated"):
        if getattr(first, name) != getattr(best, name):
            yield ("recommended", name), "the front has others"
    score = _score(result, first)
    better = [(number, one) for number, one in enumerate(result.front) if _score(result, one) < score]
    for number, one in better:
        found = simulate(one.strategy, one.batch)
        if found is None or found.met is not False:
            yield ("recommended", "strategy"), f"`{one.strategy}` is better, and meets what is required"
        if found is None or found.record != one.simulated:
            yield ("front", number, "simulated"), f"simulated requests of `{one.strategy}` have other figures"
    if [one.strategy for _, one in better] != best.passed_over:
        yield ("recommended", "passed_over"), f"{len(better)} plans of the front are better by the objective"
    known = [(one.score, one.best_bound) for one in result.proofs]
    lowest = min((value for pair in known for value in pair if value is not None), default=0.0)
    gap = max(0.0, score / lowest - 1) if lowest > 0 else None
    if (gap is None) != (best.gap is None) or not isclose(gap or 0.0, best.gap or 0.0, rel_tol=CLOSE, abs_tol=1e-12):
        yield ("recommended", "gap"), f"the gap is {gap}, not {best.gap}"


def _score(result: SearchResult, plan: FoundPlan) -> float:
    """What the objective makes least."""
    match result.objective:
        case "ttft" | "tpot":
            return plan.figures.get(result.objective) or 0.0
        case "gpus":
            return float(plan.gpus)
        case _:
            throughput = plan.figures.get("throughput") or 0.0
            amount = 1 if result.objective == "throughput" else plan.gpus
            return amount / throughput if throughput else inf
