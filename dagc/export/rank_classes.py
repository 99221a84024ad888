"""Which ranks of a team behave alike: the same start and end of every node, in every run that is shown.

Turns a timeline into a class number for each rank of each team. Times by rank are folded into one 64-bit number a
rank, run by run, with fixed odd multipliers, so equal ranks are always equal; two different ones would share a number
once in 2^64. Runs that start as one before them did are not looked at again. Vectorised over ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dagc.export.titles import rank_text, team_of
from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.timeline.lazy import Starts
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

    def shown_names(self, most: int = MOST_RANKS) -> tuple[str, ...]:
        """Names of the first classes; the last says how many are not shown."""
        if len(self.names) <= most:
            return self.names
        more = f" ({len(self.names) - most} more groups of GPUs not shown)"
        return (*self.names[: most - 1], self.names[most - 1] + more)


@lru_cache(maxsize=4)
def rank_classes(timeline: Timeline) -> tuple[RankClasses, ...]:
    """The classes of each team of the phase. Those of the last timelines are kept: a trace and a page need the same."""
    graph = timeline.priced.graph
    digests = [np.zeros(team.width, dtype=np.uint64) for team in graph.teams]
    differs = any(cost.duration.shape[-1] > 1 for costs in timeline.priced.costs for cost in costs)
    known: set[tuple[int, ...]] = set()
    for run in timeline.shown() if differs else ():
        alike = run.starts.alike if isinstance(run.starts, Starts) else None
        layers = run.size, run.stage, run.template, run.offset, run.count
        begun = (*layers, id(alike[0] if alike else run))
        if begun in known:
            continue
        teams = _teams(timeline, run)
        _mix_starts(digests, teams, run)
        if layers not in known:
            _mix_durations(digests, teams, timeline, run)
        known |= {begun, layers}
    return tuple(_classes(digest, team.ranks) for digest, team in zip(digests, graph.teams, strict=True))


def _teams(timeline: Timeline, run: Run) -> list[int]:
    """The team of each node of a run."""
    graph = timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    return [team_of(teams, node) for node in graph.templates[run.template].nodes]


def _mix_starts(digests: list[_Digest], teams: list[int], run: Run) -> None:
    """Those of the explicit copies; in the others, ranks that started together there do so again."""
    for copy in range(min(run.count, len(run.starts))):
        for team, times in zip(teams, run.starts[copy], strict=True):
            _mix(digests, team, times)


def _mix_durations(digests: list[_Digest], teams: list[int], timeline: Timeline, run: Run) -> None:
    """What all runs of the same layers have in common."""
    for team, cost in zip(teams, timeline.priced.costs[run.template], strict=True):
        rows = cost.duration[run.offset : run.offset + run.count] if cost.duration.ndim > 1 else cost.duration[None]
        for times in rows:
            _mix(digests, team, times)


def _mix(digests: list[_Digest], team: int, times: Picoseconds) -> None:
    if times.shape[0] > 1:
        digests[team] = digests[team] * _MULTIPLIER + np.ascontiguousarray(times).view(np.uint64) + np.uint64(1)


def _classes(digest: _Digest, ranks: Ranks) -> RankClasses:
    """Classes in the order of their first ranks."""
    _, first, label = np.unique(digest, return_index=True, return_inverse=True)
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(order.size)
    renumbered = position[label].astype(np.int64)
    names = tuple(rank_text(ranks[renumbered == i], "GPU") for i in range(order.size))
    return RankClasses(renumbered, tuple(int(i) for i in first[order]), names)
