"""A plan's strategies become what changes of them do, and where others overtake them.

The pipeline of `dagc.driver.check` prices the plan as it is and every change of it: `Pricing` hands both ends of it on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dagc.check.static import check_plan
from dagc.diag.diagnostic import Code, Diagnostic, Family, Severity
from dagc.diag.jsonout import to_json
from dagc.driver.check import check, silent
from dagc.driver.front import resolve_strategy
from dagc.driver.outcome import Blocks, Checked, GivenLevels, Priced, Say
from dagc.driver.strategies import price_plan
from dagc.facts.facts import NO_STRATEGY
from dagc.metrics import BREAK_EVEN, COMPARED
from dagc.plan.placement import placed
from dagc.plan.plan import Plan
from dagc.plan.workload import AS_PLANNED, LoadSample
from dagc.results.facts import assumed, facts_of
from dagc.results.whatif import PlanComparison, Sensitivities, WhatIf
from dagc.source import Source
from dagc.syntax.parser import parse
from dagc.whatif.break_even import PriceQuery, Prices, compare
from dagc.whatif.decisions import decisions
from dagc.whatif.hardware import hardware
from dagc.whatif.parameter import Answer, ParameterKind, PhaseTime, Pricing, RefusedPlan, SensitivityParameter
from dagc.whatif.sensitivity import sensitivities
from dagc.whatif.workload import quantities, workload

NOT_SIMULATED = Code("L101", "changes-not-simulated", Severity.WARNING)

MOST_STEP_GROUPS = 200_000
"""Groups of like steps of a strategy's own load up to which its changes are simulated too: about 0.1 s a run."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What changes: figures of hardware by `step`, a share; parameters of these kinds, or all; one strategy, or all."""

    step: float = 0.1
    kinds: tuple[str, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class BreakEvenQuery:
    """Over what strategies are held against each other: a field of the workload, its range, and figures, or the usual.

    `against` is another strategy's name or text; None takes all that differ by one decision. `between` None: from a
    64th of the stated quantity to 64 times as much.
    """

    over: str
    against: str | None = None
    between: tuple[int, int] | None = None
    metrics: tuple[str, ...] = ()


_SPAN = 64
"""How far from what is stated strategies are held against each other."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answers, all diagnostics, the names of all strategies with a meaning, and what their workload counts."""

    answers: WhatIf
    diagnostics: tuple[Diagnostic, ...]
    names: tuple[str, ...]
    quantities: tuple[str, ...]


def whatif(
    source: Source,
    blocks: Blocks,
    directory: Path,
    asked: Asked,
    query: BreakEvenQuery | None,
    say: Say,
    given: GivenLevels,
) -> Found:
    """Sensitivities of each strategy, or with a query its break-even points."""
    outcome = check(source, blocks, directory, say, given)
    problems = list(outcome.diagnostics)
    shown = [one for one in outcome.checked if asked.name in (None, one.plan.name)]
    strategies: list[Sensitivities] = []
    duels: list[PlanComparison] = []
    for checked in shown:
        if query is None:
            pricing = _pricing(checked, problems)
            strategies.append(
                sensitivities(_answer(checked.plan, checked.priced), _parameters(checked.plan, asked), pricing, say)
            )
        else:
            duels += _duels(checked, [one.plan for one in outcome.checked], query, problems, say)
    plans = [one.plan for one in outcome.checked]
    answers = WhatIf(
        assumed=assumed(facts_of(plans[0].facts)) if plans else None,
        strategies=strategies,
        duels=duels,
        diagnostics=[to_json(one) for one in problems],
    )
    counted = quantities(plans[0].facts.workload) if plans else ()
    return Found(answers, tuple(problems), tuple(plan.name for plan in plans), counted)


def _parameters(plan: Plan, asked: Asked) -> tuple[SensitivityParameter, ...]:
    kinds = asked.kinds or tuple(ParameterKind)
    return (
        *(hardware(plan, asked.step) if ParameterKind.HARDWARE in kinds else ()),
        *(workload(plan) if ParameterKind.WORKLOAD in kinds else ()),
        *(decisions(plan) if ParameterKind.STRATEGY in kinds else ()),
    )


def _duels(
    checked: Checked, plans: Sequence[Plan], query: BreakEvenQuery, found: list[Diagnostic], say: Say
) -> Iterable[PlanComparison]:
    load = checked.plan.facts.workload
    if query.over not in quantities(load):
        return
    given_quantity: int = getattr(load, query.over)
    low, high = query.between or (max(1, given_quantity // _SPAN), given_quantity * _SPAN)
    metrics = tuple(one for one in COMPARED if one.name in query.metrics) or BREAK_EVEN
    question = PriceQuery(query.over, low, high, metrics)
    pricing = _pricing(checked, found)
    own = Prices(checked.plan, question, pricing)
    for title, rival in _rivals(checked.plan, plans, query.against, found):
        yield compare(own, Prices(rival, question, pricing), lambda point, title=title: say(f"{title}: {point}"))


def _rivals(
    plan: Plan, plans: Sequence[Plan], against: str | None, found: list[Diagnostic]
) -> Iterable[tuple[str, Plan]]:
    """The strategy that is named or written, or every one that differs by one decision and is legal."""
    if against is None:
        for parameter in decisions(plan):
            for change in parameter.changes:
                rival = _read(str(change.to), plan)
                if isinstance(rival, Plan):
                    yield change.label, rival
        return
    named = next((one for one in plans if one.name == against), None)
    if named is not None:
        if named is not plan:
            yield against, named
        return
    rival = _read(against, plan, "--against")
    if isinstance(rival, Plan):
        yield against, rival
    elif rival.problem not in found:
        found.append(rival.problem)


def _read(text: str, base: Plan, name: str = "strategy") -> Plan | RefusedPlan:
    """A strategy's text among the facts of a plan, or the first reason against it.

    More GPUs than the cluster has are one, where the plan itself has enough.
    """
    parsed = parse(Source(name, text))
    problems = list(parsed.diagnostics)
    strategies = parsed.file.strategies if parsed.file else ()
    if parsed.file and not strategies:
        problems.append(
            NO_STRATEGY.at(None, f"`{name}` holds no strategy", help=("write one, such as `ep 16 ; tp 2`",))
        )
    deployment = resolve_strategy(replace(strategies[0], name=base.name), problems) if strategies else None
    if deployment is None:
        return RefusedPlan(next(one for one in problems if one.stops))
    plan = Plan(placed(deployment, base.facts.engine), base.facts)
    refusing = _refusing(plan) - _refusing(base)
    return next((RefusedPlan(one) for one in check_plan(plan) if one.code in refusing), plan)


def _refusing(plan: Plan) -> set[Code]:
    """Codes of what a strategy has to do without: a cluster with the GPUs that it takes, for one."""
    return {one.code for one in check_plan(plan) if one.is_error and one.code.family is Family.GPUS}


def _pricing(checked: Checked, found: list[Diagnostic]) -> Pricing:
    """The pipeline for changes of a strategy.

    Their load is simulated only where a requirement is on it, which takes longer than all the rest, and only where that
    of the strategy itself is short; else `found` says that it is not.
    """
    requirements = [one for one in checked.plan.facts.requirements if one.is_of_load]
    load = checked.priced.load
    if not requirements or load is None:
        return UNSIMULATED
    steps = len(load.run.simulated.runs)
    if steps <= MOST_STEP_GROUPS:
        return PRICING
    found.append(
        NOT_SIMULATED.at(
            requirements[0].span,
            f"changes of `{checked.plan.name}` are not simulated: its own load takes {steps:,} groups of steps",
            "not judged for changes",
            notes=(f"a change is simulated where the load of its strategy takes at most {MOST_STEP_GROUPS:,}",),
            help=("state fewer requests, as `requests 200`, or a larger `chunk`",),
        )
    )
    return UNSIMULATED


def _price(plan: Plan, sample: LoadSample | None = AS_PLANNED) -> Answer | RefusedPlan:
    """A changed plan as the pipeline prices it, or the first error of those that stop it."""
    problems = list(check_plan(plan))
    stopping = next((one for one in problems if one.stops), None)
    if stopping:
        return RefusedPlan(stopping)
    return _answer(plan, price_plan(plan, problems, silent, sample))


def _answer(plan: Plan, priced: Priced) -> Answer:
    metrics, timelines = priced.assessment.metrics, priced.timelines
    if metrics is None or timelines is None:
        return Answer(plan, priced.assessment, ())
    prefill = PhaseTime("prefill", metrics.prefill, timelines[0])
    decode = PhaseTime("decode", metrics.decode, timelines[-1], metrics.serving)
    return Answer(plan, priced.assessment, (prefill, decode))


PRICING = Pricing(_read, _price)
"""Both ends of the pipeline, for the verbs that ask."""

UNSIMULATED = Pricing(_read, partial(_price, sample=None))
"""The same without requests under load."""
