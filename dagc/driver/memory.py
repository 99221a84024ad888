"""A plan's strategies become the memory of their GPUs, without a graph or times."""

from __future__ import annotations

from pathlib import Path

from dagc.check.static import check_plan
from dagc.cost.admission import admitted
from dagc.cost.limits import memory_limits
from dagc.cost.memory import rank_memory
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import read_plan, resolve_strategy, stops
from dagc.driver.offers import Trial
from dagc.driver.outcome import Blocks
from dagc.export.text.context import chunked, context
from dagc.plan.placement import placed
from dagc.plan.plan import Plan, missing_shapes, requests_at_once
from dagc.results.facts import facts_of
from dagc.results.memory import MemoryOfPools, PlanMemory, StrategyMemory, memory_record
from dagc.source import Source


def memory(source: Source, blocks: Blocks = (), directory: Path = Path()) -> PlanMemory:
    """What each GPU of every strategy holds, and what would still fit."""
    found: list[Diagnostic] = []
    known = read_plan(source, blocks, directory, found)
    if known is None:
        return PlanMemory(in_order(Trial(source, blocks, directory, Levels()).settle(found)), ())
    file, facts = known
    strategies: list[StrategyMemory] = []
    for strategy in file.strategies:
        deployment = resolve_strategy(strategy, found)
        if deployment is None or stops(found):
            continue
        plan = Plan(placed(deployment, facts.engine), facts)
        own = list(check_plan(plan))
        found += own
        if not stops(own):
            strategies.append(_size_memory(plan))
    levelled = facts.rules.levels.applied(found)
    settled = Trial(source, blocks, directory, Levels(), file.strategies).settle(levelled)
    return PlanMemory(in_order(settled), tuple(strategies))


def _size_memory(plan: Plan) -> StrategyMemory:
    missing = missing_shapes(plan)
    if missing:
        return StrategyMemory(plan.name, None, missing)
    running = admitted(plan)
    by_rank, limits = MemoryOfPools(rank_memory(running)), memory_limits(plan)
    held = memory_record(by_rank, limits, requests_at_once(running))
    facts = facts_of(plan.facts)
    return StrategyMemory(plan.name, held, (), (*context(facts, []), *chunked(facts, by_rank)))
