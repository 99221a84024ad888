"""The pipeline: a plan's text becomes checked strategies, and these become graphs and times.

Straight-line code. Diagnostics are collected, never raised: a strategy that cannot be priced still has its size, a plan
with one bad strategy still has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Diagnostic, in_order
from dagc.diag.levels import Levels
from dagc.driver.front import read_plan, stops
from dagc.driver.outcome import Blocks, GivenLevels, Outcome, Say
from dagc.driver.strategies import check_strategy, price_plan
from dagc.facts.rules import declare_levels
from dagc.plan.workload import AS_PLANNED, LoadSample
from dagc.source import Source
from dagc.syntax.tree import NamedStrategy

if TYPE_CHECKING:
    from dagc.driver.offers import Trial


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
        settle = _settling(source, blocks, directory, levels)
        return Outcome(in_order(settle(found)), ())
    file, facts = known
    is_readable = not stops(found)
    pricing = partial(price_plan, say=say, sample=sample) if is_readable else None
    checked = [check_strategy(strategy, facts, found, pricing) for strategy in file.strategies]
    levels = levels.over(facts.rules.levels)
    settle = _settling(source, blocks, directory, levels, file.strategies)
    settled = settle(levels.applied(found))
    strategies = [replace(one, diagnostics=settle(levels.applied(one.diagnostics))) for one in checked if one]
    return Outcome(in_order(settled), tuple(strategies))


def _settling(
    source: Source, blocks: Blocks, directory: Path, levels: Levels, strategies: tuple[NamedStrategy, ...] = ()
) -> Callable[[Iterable[Diagnostic]], tuple[Diagnostic, ...]]:
    """What settles the diagnostics of a plan; the trial of their offers is made for the first that has some."""

    @cache
    def trial() -> Trial:
        from dagc.driver.offers import Trial

        return Trial(source, blocks, directory, levels, strategies)

    def settle(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        every = tuple(diagnostics)
        return trial().settle(every) if any(one.is_open for one in every) else every

    return settle
