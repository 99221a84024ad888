"""Which ranks of a team behave alike: the same start and end of every node, in every run that is shown.

Turns a timeline into a class number for each rank of each team. Times by rank are folded into one 64-bit number a
rank, run by run, with fixed odd multipliers, so equal ranks are always equal; two different ones would share a number
once in 2^64. Vectorised over ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.export.times import duration_of
from dagc.export.titles import rank_text, team_of
from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.timeline.timeline import Run, Timeline

MOST_RANKS = 8
"""Ranks shown of one team by default: the first of so many classes."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_Digest = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class RankClasses:
    """The classes of one team, by their first rank. `label` is the class of each local rank, shape (width,)."""

    label: Ranks
    representatives: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def shown_names(self) -> tuple[str, ...]:
        """Names of the classes shown by default; the last says how many are not."""
        if len(self.names) <= MOST_RANKS:
            return self.names
        more = f" ({len(self.names) - MOST_RANKS} more kinds of ranks not shown)"
        return (*self.names[: MOST_RANKS - 1], self.names[MOST_RANKS - 1] + more)


def rank_classes(timeline: Timeline) -> tuple[RankClasses, ...]:
    """The classes of each team of the phase."""
    graph = timeline.priced.graph
    digests = [np.zeros(team.width, dtype=np.uint64) for team in graph.teams]
    differs = any(cost.duration.shape[-1] > 1 for costs in timeline.priced.costs for cost in costs)
    for run in timeline.shown() if differs else ():
        _fold(timeline, run, digests)
    return tuple(_classes(digest, team.ranks) for digest, team in zip(digests, graph.teams, strict=True))


def _fold(timeline: Timeline, run: Run, digests: list[_Digest]) -> None:
    graph = timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    for copy in range(run.count):
        for index, node in enumerate(graph.templates[run.template].nodes):
            for times in (run.start(copy, index), duration_of(timeline, run, copy, index)):
                if times.shape[0] > 1:
                    _mix(digests, team_of(teams, node), times)


def _mix(digests: list[_Digest], team: int, times: Picoseconds) -> None:
    digests[team] = digests[team] * _MULTIPLIER + np.ascontiguousarray(times).view(np.uint64) + np.uint64(1)


def _classes(digest: _Digest, ranks: Ranks) -> RankClasses:
    """Classes in the order of their first ranks."""
    _, first, label = np.unique(digest, return_index=True, return_inverse=True)
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(order.size)
    renumbered = position[label].astype(np.int64)
    names = tuple(rank_text(ranks[renumbered == i]) for i in range(order.size))
    return RankClasses(renumbered, tuple(int(i) for i in first[order]), names)
