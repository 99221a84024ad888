"""Ranks that never meet, and what the times of all of them have in common that differ by a constant.

Two ranks are of one component where a chain of groups joins them. Ranks of different components wait for nothing of
each other, so the map F of a copy has F(x + c) = F(x) + c for every c that is constant within each component, not only
for one that is constant throughout. What drifts apart because it never meets repeats all the same.

Where teams wait for each other, or differ in width, all ranks count as one component: a constant is a number then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np

from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.timeline.steps import Group, Steps
from dagc.timeline.times import Time, earliest, later, latest

_KEPT = 1024
"""Partitions that are kept, by the groups that they come from: phases of one layout have them in common."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """A partition of the ranks of every team. `label` numbers the component of each rank, `heads` holds the first rank
    of each component; all ranks are one component where `label` is None.

    `order` has the ranks component by component, `begins` where each component begins in it.
    """

    label: Ranks | None
    heads: Ranks
    order: Ranks
    begins: Ranks

    def earliest(self, times: Sequence[Time]) -> Time:
        """The first of some times, of each rank that of its component."""
        if self.label is None:
            return min([time if isinstance(time, int) else earliest(time) for time in times])
        low = reduce(np.minimum, times)
        if isinstance(low, int | np.integer):
            return int(low)
        return np.minimum.reduceat(low[self.order], self.begins)[self.label]

    def latest(self, times: Sequence[Time]) -> Time:
        """When the last of some times has come: a number, or by rank where ranks are of several components."""
        return max([latest(time) for time in times]) if self.label is None else reduce(later, times)

    def shift(self, before: Sequence[Time], after: Sequence[Time]) -> Time | None:
        """By what every time grew, where that is a constant in each component; a number where these are equal."""
        constant = constant_shift(before, after)
        if constant is not None or self.label is None or len(before) != len(after) or not after:
            return constant
        shift: Time = after[0] - before[0]
        if isinstance(shift, int) or not bool((shift[self.heads][self.label] == shift).all()):
            return None
        grown = (new - old for old, new in zip(before[1:], after[1:], strict=True))
        return shift if all(bool(np.all(one == shift)) for one in grown) else None


ONE = Components(None, *(np.zeros(1, dtype=np.int64) for _ in range(3)))
"""All ranks are one component."""


def components(graph: PhaseGraph, templates: Sequence[Steps]) -> Components:
    """The components of a phase under its steps."""
    programs = {program.teams for sized in graph.programs for program in sized}
    widths = {team.width for team in graph.teams}
    if len(widths) > 1 or any(len(teams) > 1 for teams in programs) or all(steps.uniform for steps in templates):
        return ONE
    groups = frozenset[Group]().union(*(steps.groups for steps in templates))
    if any(steps.has_links for steps in templates) or any(group.whole for group in groups):
        return ONE
    return _joined(widths.pop(), groups)


@lru_cache(maxsize=_KEPT)
def _joined(width: int, groups: frozenset[Group]) -> Components:
    """The finest partition of some ranks that each of the given ones refines."""
    first: Ranks = np.arange(width, dtype=np.int64)
    before: Ranks | None = None
    while before is None or not np.array_equal(before, first):
        before = first.copy()
        for group in groups:
            first[group.members] = first[group.members].min(axis=1, keepdims=True)
    heads, label = np.unique(first, return_inverse=True)
    return ONE if heads.size == 1 else _partition(heads, label.astype(np.int64))


def _partition(heads: Ranks, label: Ranks) -> Components:
    order = np.argsort(label, kind="stable")
    begins = np.searchsorted(label[order], np.arange(heads.size))
    return Components(label, heads, order, begins)


def constant_shift(before: Sequence[Time], after: Sequence[Time]) -> int | None:
    """The constant by which every time grew, or None where there is none."""
    if len(before) != len(after) or not after:
        return None
    shift = _any(after[0]) - _any(before[0])
    for old, new in zip(before, after, strict=True):
        if _any(new) - _any(old) != shift:
            return None
    for old, new in zip(before, after, strict=True):
        grown = new - old
        if not isinstance(grown, int) and not _is_constant(grown):
            return None
    return shift


def _is_constant(times: Picoseconds) -> bool:
    """Whether all are the same. To compare them as numbers would be three calls of numpy."""
    return times.tobytes() == times[:1].tobytes() * times.size


def _any(time: Time) -> int:
    """The time of some rank."""
    return time if isinstance(time, int) else int(time[0])
