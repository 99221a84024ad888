"""What would have to give where no plan meets all requirements: the load, one requirement, or the number of GPUs.

Each relaxation changes one of them and keeps all others, and is as small as was found: a requirement as far as the plan
that is best by its figure, a load by powers of two and GPUs by nodes and doublings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dagc.search.goal import Goal, objective_of
from dagc.search.incumbents import PricedStrategy
from dagc.search.optimum import GoalResult, Optimizer

PATIENCE = 20_000
"""Evaluations after which a search without a plan that meets the requirements turns to what would have to give."""

GROWTHS = 2
"""Doublings of GPUs that are tried, after one node more."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The index of a requirement that is relaxed, or `load` or `gpus`, with the answer that it has then.

    `is_minimal` unless the search was ended before it could tell whether less would do.
    """

    what: int | str
    answer: GoalResult
    is_minimal: bool

    @property
    def plan(self) -> PricedStrategy:
        """The plan that meets the others."""
        if self.answer.best.entry is None:
            raise ValueError("nothing was found that meets the others")
        return self.answer.best.entry


def lower_load(optimizer: Optimizer, goal: Goal) -> Relaxed | None:
    """The highest power of two below the goal's batch at which a plan meets it, and the best plan there."""
    loads = [1 << exponent for exponent in range((goal.batch - 1).bit_length())]
    low, high, is_minimal = -1, len(loads), True
    while high - low > 1:
        middle = (low + high) // 2
        found = optimizer.solve(replace(goal, batch=loads[middle]), (), PATIENCE, is_enough=True)
        is_minimal &= found.best.entry is not None or found.is_proven
        low, high = (middle, high) if found.best.entry else (low, middle)
    if low < 0:
        return None
    answer = optimizer.solve(replace(goal, batch=loads[low]), (), PATIENCE)
    return Relaxed("load", answer, is_minimal) if answer.best.entry else None


def nearest(optimizer: Optimizer, goal: Goal, known: Sequence[PricedStrategy]) -> GoalResult:
    """The plan whose largest miss of a requirement is least."""
    return optimizer.solve(replace(goal, objective="miss", required=(), nearest=goal.required), known, PATIENCE)


def requirements(optimizer: Optimizer, goal: Goal, known: Sequence[PricedStrategy]) -> list[Relaxed]:
    """Of each requirement the plan that misses it least of those that meet all others."""
    found: list[Relaxed] = []
    for index in goal.required:
        objective = objective_of(goal.facts.requirements[index])
        if objective is not None and objective != "gpus":
            answer = optimizer.solve(replace(goal.without(index), objective=objective), known, PATIENCE)
            found += [Relaxed(index, answer, answer.is_proven)] if answer.best.entry else []
    return found


def more_gpus(optimizer_of: Callable[[int], Optimizer], goal: Goal, gpus: int) -> Relaxed | None:
    """The first of some larger clusters on which a plan meets the goal."""
    node, is_minimal = goal.facts.cluster.gpus_per_node, True
    sizes = [gpus + node, *(gpus << exponent for exponent in range(1, GROWTHS + 1))]
    for size in sorted(set(sizes)):
        answer = optimizer_of(size).solve(goal, (), PATIENCE, is_enough=True)
        if answer.best.entry:
            return Relaxed("gpus", answer, is_minimal and size == gpus + node)
        is_minimal &= answer.is_proven
    return None
