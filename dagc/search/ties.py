"""Which plans tie with the best: predictions do not tell them apart.

By the errors of measured pairs (`dagc.results.paired`, as `dagc compare` has them) each plan is in truth the better one
with some probability. A plan that is no further from the best than half of the measured pairs are off in either
direction is the better one in one of four cases at least, and ties with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dagc.search.choice import PlanChoice
from dagc.search.incumbents import PricedStrategy
from dagc.search.verdict import StrategyVerdict

TIED = 0.25
"""How likely a plan that ties with the best is the better one, at least."""

Odds = Callable[[PricedStrategy, PricedStrategy, float], float | None]
"""How likely the first of two strategies is the faster one, whose predicted time is so many times that of the other.

None where nothing measured tells.
"""


def with_ties(
    choice: PlanChoice, ranked: Sequence[PricedStrategy], score: Callable[[StrategyVerdict], float], odds: Odds
) -> tuple[list[PricedStrategy], int]:
    """Plans in the order of their score, with the one that is chosen first and those that tie with it next, and how
    many these are.

    Ties come by fewer GPUs, then by simpler text, the rest as they came. A plan that misses a requirement is no tie.
    """
    best = choice.chosen
    if best is None or choice.is_lowered:
        return list(ranked), 0
    others, lowest = [one for one in ranked if one is not best], score(best.verdict)
    near = [one for one in others if not choice.misses(one)]
    ties = [one for one in near if _is_tie(one, best, score(one.verdict), lowest, odds)]
    ties.sort(key=lambda one: (one.verdict.vector[0], len(one.strategy), one.strategy, one.batch))
    return [best, *ties, *(one for one in others if one not in ties)], len(ties)


def _is_tie(one: PricedStrategy, best: PricedStrategy, score: float, lowest: float, odds: Odds) -> bool:
    if score == lowest:
        return True
    likely = odds(one, best, score / lowest) if lowest > 0 else None
    return likely is not None and likely >= TIED
