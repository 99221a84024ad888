"""A plan's strategies become the memory of their GPUs, without a graph or times."""

from __future__ import annotations

from pathlib import Path

from dagc.check.static import check_plan
from dagc.cost.admission import admitted
from dagc.cost.limits import memory_limits
from dagc.cost.memory import rank_memory
from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import sized, stated, stops
from dagc.driver.offering import Trial
from dagc.driver.outcome import Blocks
from dagc.plan.missing import missing_shapes
from dagc.plan.placement import placed
from dagc.plan.plan import Plan
from dagc.plan.serving import requests_at_once
from dagc.report.context import chunked, context
from dagc.report.facts import facts_data
from dagc.report.memory import memory_figures
from dagc.report.memory_summary import memory_summary
from dagc.report.summary import Facts
from dagc.report.weighed import Held, Weighed
from dagc.source import Source


def memory(source: Source, blocks: Blocks = (), directory: Path = Path()) -> Held:
    """What each GPU of every strategy holds, and what would still fit."""
    found: list[Diagnostic] = []
    known = stated(source, blocks, directory, found)
    if known is None:
        return Held(in_order(Trial(source, blocks, directory, Levels()).settle(found)), ())
    file, facts = known
    weighed: list[Weighed] = []
    for strategy in file.strategies:
        deployment = sized(strategy, found)
        if deployment is None or stops(found):
            continue
        plan = Plan(placed(deployment, facts.engine), facts)
        own = list(check_plan(plan))
        found += own
        if not stops(own):
            weighed.append(_weighed(plan))
    levelled = facts.rules.levels.applied(found)
    settled = Trial(source, blocks, directory, Levels(), file.strategies).settle(levelled)
    return Held(in_order(settled), tuple(weighed))


def _weighed(plan: Plan) -> Weighed:
    missing = missing_shapes(plan)
    if missing:
        return Weighed(plan.name, None, missing)
    running = admitted(plan)
    figures, limits = memory_figures(rank_memory(running)), memory_limits(plan)
    held = memory_summary(figures, limits, requests_at_once(running))
    facts = Facts(**facts_data(plan.facts))
    return Weighed(plan.name, held, (), (*context(facts, []), *chunked(facts, figures)))
