"""A plan's strategies become the flags of engines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dagc.check.static import check_engine, check_plan
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import read_plan, resolve_strategy, stops
from dagc.driver.offers import Trial
from dagc.driver.outcome import Blocks
from dagc.engines.engine import Engine
from dagc.engines.registry import engines
from dagc.plan.deployment import Deployment
from dagc.plan.placement import placed
from dagc.plan.plan import Facts, Plan
from dagc.results.launch import Launched, launched
from dagc.source import Source


@dataclass(frozen=True, slots=True)
class Started:
    """What engines make of the strategies of a plan: by strategy, then by engine."""

    diagnostics: tuple[Diagnostic, ...]
    launched: tuple[Launched, ...]


def launch(source: Source, blocks: Blocks = (), directory: Path = Path()) -> Started:
    """What the engine of a plan makes of each strategy with a meaning; without an `engine` block, what each does."""
    found: list[Diagnostic] = []
    known = read_plan(source, blocks, directory, found)
    if known is None:
        return Started(in_order(Trial(source, blocks, directory, Levels()).settle(found)), ())
    file, facts = known
    trial = Trial(source, blocks, directory, Levels(), file.strategies)
    started: list[Launched] = []
    for strategy in file.strategies:
        deployment = resolve_strategy(strategy, found)
        if deployment is None or stops(found):
            continue
        own = check_plan(Plan(deployment, replace(facts, engine=None)))
        found += (d for d in own if d.is_error)
        if not stops(list(own)):
            asked = (facts.engine,) if facts.engine else engines()
            started += (_launched(deployment, facts, engine, trial) for engine in asked)
    return Started(in_order(trial.settle(found)), tuple(started))


def _launched(deployment: Deployment, facts: Facts, engine: Engine, trial: Trial) -> Launched:
    plan = Plan(placed(deployment, engine), replace(facts, engine=engine))
    return launched(plan, engine, trial.under(engine).settle(check_engine(plan)))
