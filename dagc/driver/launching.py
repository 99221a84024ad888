"""A plan's strategies become the flags of engines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dagc.check.static import check_engine, check_plan
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import sized, stated, stops
from dagc.driver.offering import Trial
from dagc.driver.outcome import Blocks
from dagc.engines.profiles import ENGINES, profile
from dagc.plan.deployment import Deployment
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.report.launch import Launched, launched
from dagc.source import Source


@dataclass(frozen=True, slots=True)
class Started:
    """What engines make of the strategies of a plan: by strategy, then by engine."""

    diagnostics: tuple[Diagnostic, ...]
    launched: tuple[Launched, ...]


def launch(source: Source, blocks: Blocks = (), directory: Path = Path()) -> Started:
    """What the engine of a plan makes of each strategy with a meaning; without an `engine` block, what all four do."""
    found: list[Diagnostic] = []
    known = stated(source, blocks, directory, found)
    if known is None:
        return Started(in_order(Trial(source, blocks, directory, Levels()).settle(found)), ())
    file, facts = known
    trial = Trial(source, blocks, directory, Levels(), file.strategies)
    started: list[Launched] = []
    for strategy in file.strategies:
        deployment = sized(strategy, found)
        if deployment is None or stops(found):
            continue
        own = check_plan(Plan(deployment, replace(facts, engine=None)))
        found += (d for d in own if d.is_error)
        if not stops(list(own)):
            started += (_launched(deployment, facts, engine, trial) for engine in _named(facts))
    return Started(in_order(trial.settle(found)), tuple(started))


def _named(facts: Facts) -> tuple[str, ...]:
    """The engine of a plan, or all."""
    return ENGINES if facts.engine is None else (facts.engine.name,)


def _launched(deployment: Deployment, facts: Facts, engine: str, trial: Trial) -> Launched:
    named = facts.engine if facts.engine is not None and facts.engine.name == engine else profile(engine)
    plan = Plan(placed(deployment, named), replace(facts, engine=named))
    return launched(plan, named, trial.under(named).settle(check_engine(plan)))
