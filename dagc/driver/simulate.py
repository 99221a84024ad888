"""A plan's strategies under load: simulated requests become percentiles, verdicts, and the highest load that holds.

A strategy is checked as `dagc check` has it, then its step times are priced where the simulation asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic, in_order
from dagc.diag.jsonout import to_json
from dagc.driver.check import check, silent
from dagc.driver.load import StrategyLoad, too_large
from dagc.driver.load_sweep import sweep
from dagc.driver.outcome import Blocks, Checked, GivenLevels, Say
from dagc.plan.plan import Plan, missing_rates, missing_shapes
from dagc.plan.workload import AS_PLANNED, LoadSample, Requirement
from dagc.results.assemble import requirements_of
from dagc.results.facts import assumed, facts_of
from dagc.results.simulation import SimulationResult, StrategyUnderLoad, SweepOver
from dagc.simulate.kernel import SimulationTooLarge
from dagc.simulate.load import LoadRun
from dagc.source import Source

STATIC_BATCH = Code("N170", "static-batch-under-load")
NO_STEP_TIMES = Code("N171", "load-without-times")

FEWEST_REQUESTS, MOST_REQUESTS = 10, 10**7
"""Bounds on requests that figures are of."""

MOST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """One strategy, or all; the sample of its load; the sweep, if any.

    Where `is_single` nothing is simulated of a plan with several strategies of which none is named.
    """

    name: str | None = None
    sample: LoadSample = AS_PLANNED
    sweep: SweepOver | None = None
    is_single: bool = False


@dataclass(frozen=True, slots=True)
class SimulationOutcome:
    """The document, all diagnostics, names of strategies with a meaning, and by strategy its run and requirements."""

    result: SimulationResult
    diagnostics: tuple[Diagnostic, ...]
    names: tuple[str, ...]
    runs: dict[str, LoadRun]
    requirements: dict[str, tuple[Requirement, ...]]


def simulate(
    source: Source,
    blocks: Blocks = (),
    directory: Path = Path(),
    asked: SimulationRequest | None = None,
    say: Say = silent,
    given: GivenLevels = (),
) -> SimulationOutcome:
    """Each strategy that can be priced, under the load of the plan's workload."""
    asked = asked or SimulationRequest()
    outcome = check(source, blocks, directory, say, given, sample=asked.sample)
    problems = list(outcome.diagnostics)
    strategies: list[StrategyUnderLoad] = []
    runs: dict[str, LoadRun] = {}
    is_ambiguous = asked.is_single and asked.name is None and len(outcome.checked) > 1
    shown = [one for one in outcome.checked if not is_ambiguous and asked.name in (None, one.plan.name)]
    for checked in shown:
        load = checked.priced.load
        if load is None:
            if checked.priced.timelines and checked.plan.facts.workload.concurrency is None:
                problems.append(_static(checked.plan))
                break
            problems.extend(_without_times(checked.plan))
            continue
        say(f"simulating {checked.plan.name}")
        try:
            strategies.append(_under_load(checked, load, asked.sweep))
        except SimulationTooLarge as error:
            problems.append(too_large(load.plan, error))
            continue
        runs[checked.plan.name] = load.run
    plans = [one.plan for one in outcome.checked]
    result = SimulationResult(
        assumed=assumed(facts_of(plans[0].facts)) if plans else None,
        strategies=strategies,
        diagnostics=[to_json(one) for one in in_order(problems)],
    )
    required = {plan.name: plan.facts.requirements for plan in plans}
    return SimulationOutcome(result, in_order(problems), tuple(required), runs, required)


def _under_load(checked: Checked, load: StrategyLoad, over: SweepOver | None) -> StrategyUnderLoad:
    return StrategyUnderLoad(
        name=checked.plan.name,
        strategy=checked.structure.strategy,
        gpus=checked.plan.deployment.gpus,
        load=load.record,
        requirements=requirements_of(checked.priced.assessment),
        sweep=sweep(load, over) if over else None,
    )


def _without_times(plan: Plan) -> Iterable[Diagnostic]:
    """That facts are missing without which no step has a time, if it is that."""
    if lacking := (*missing_shapes(plan), *missing_rates(plan)):
        yield NO_STEP_TIMES.at(
            plan.deployment.strategy.span,
            f"`{plan.name}` has no times, so there is no load to simulate",
            f"not stated: {', '.join(lacking)}",
            notes=("its size and its claims are checked all the same: `dagc check`",),
            help=(f"state {', '.join(lacking)}, or name a preset: `dagc models`, `dagc devices`",),
        )


def _static(plan: Plan) -> Diagnostic:
    span = plan.facts.workload.spans.get("batch") or plan.deployment.strategy.span
    return STATIC_BATCH.at(
        span,
        "a static batch has no load to simulate",
        "requests neither come nor go",
        help=("write `concurrency 64` for a closed loop, or `rate 20 requests/s` for an open one",),
    )
