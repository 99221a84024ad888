"""The pipeline: a plan's text becomes checked strategies, and these become graphs and times.

Straight-line code. Diagnostics are collected, never raised: a strategy that cannot be priced still has its size, a plan
with one bad strategy still has the others.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from dagc.diag.diagnostic import in_order
from dagc.diag.levels import Levels
from dagc.driver.front import read_plan, stops
from dagc.driver.offers import Trial
from dagc.driver.outcome import Blocks, Checked, GivenLevels, Outcome, Say
from dagc.driver.strategies import check_strategy, price_plan
from dagc.facts.rules import declare_levels
from dagc.plan.workload import AS_PLANNED, LoadSample
from dagc.source import Source


def silent(_: str) -> None:
    """Say nothing."""
    return


def check(
    source: Source,
    blocks: Blocks = (),
    directory: Path = Path(),
    say: Say = silent,
    given: GivenLevels = (),
    *,
    sample: LoadSample | None = AS_PLANNED,
) -> Outcome:
    """Everything that is known of a plan without writing a file. Levels that are given win over the plan's.

    Without a `sample` nothing is known of requests under load, which take longer to simulate than all the rest.
    """
    levels, wrong = declare_levels(given)
    found = list(wrong)
    known = read_plan(source, blocks, directory, found)
    if known is None:
        trial = Trial(source, blocks, directory, levels)
        return Outcome(in_order(trial.settle(found)), ())
    file, facts = known
    is_readable = not stops(found)
    pricing = partial(price_plan, say=say, sample=sample) if is_readable else None
    checked = [check_strategy(strategy, facts, found, pricing) for strategy in file.strategies]
    levels = levels.over(facts.rules.levels)
    trial = Trial(source, blocks, directory, levels, file.strategies)
    settled = trial.settle(levels.applied(found))
    return Outcome(in_order(settled), tuple(_settled(one, trial, levels) for one in checked if one))


def _settled(checked: Checked, trial: Trial, levels: Levels) -> Checked:
    return replace(checked, diagnostics=trial.settle(levels.applied(checked.diagnostics)))
