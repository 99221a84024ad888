"""Which ranks of a team behave alike: the same start and end of every node, in every run that is shown.

Turns a timeline into a class number for each rank of each team. Times by rank are folded into one 64-bit number a
rank with a fixed odd multiplier, so equal ranks are always equal; two different ones would share a number once in
2^64. Vectorised over ranks, copies and micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dagc.export.titles import rank_text, team_of
from dagc.graph.priced import Picoseconds
from dagc.plan.layout import Ranks
from dagc.schedule.timeline import Run, Timeline, starts_of

MOST_RANKS = 8
"""Ranks shown of one team by default: the first of so many classes."""

MOST_TIMES = 4 << 20
"""Times that are folded at once."""

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
    if timeline.program.ranks > 1:
        for runs in _alike_runs(timeline):
            _mix_durations(digests, _teams(timeline, runs[0]), timeline, runs[0])
            each = runs[0].count * len(timeline.priced.costs[runs[0].template]) * timeline.program.ranks
            for first in range(0, len(runs), most := max(1, MOST_TIMES // max(1, each))):
                _mix_starts(digests, _teams(timeline, runs[0]), runs[first : first + most])
    return tuple(_classes(digest, team.ranks) for digest, team in zip(digests, graph.teams, strict=True))


def _alike_runs(timeline: Timeline) -> list[list[Run]]:
    """Runs of the same layers in the same recording."""
    found: dict[tuple[int, ...], list[Run]] = {}
    for run in timeline.shown():
        key = id(run.recording), run.size, run.stage, run.position, run.offset, run.count
        found.setdefault(key, []).append(run)
    return list(found.values())


def _teams(timeline: Timeline, run: Run) -> list[int]:
    """The team of each node of a run."""
    graph = timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    return [team_of(teams, node) for node in graph.templates[run.template].nodes]


def _mix_starts(digests: list[_Digest], teams: list[int], runs: list[Run]) -> None:
    starts = starts_of(runs, range(runs[0].count))
    for node, team in enumerate(teams):
        times = starts[:, :, node, : digests[team].size]
        _mix(digests, team, times.reshape(-1, times.shape[-1]))


def _mix_durations(digests: list[_Digest], teams: list[int], timeline: Timeline, run: Run) -> None:
    """What all runs of the same layers have in common."""
    for team, cost in zip(teams, timeline.priced.costs[run.template], strict=True):
        rows = cost.duration[run.offset : run.offset + run.count] if cost.duration.ndim > 1 else cost.duration[None]
        _mix(digests, team, rows)


def _mix(digests: list[_Digest], team: int, times: Picoseconds) -> None:
    """Fold rows of times by rank: a polynomial in the multiplier."""
    if times.shape[1] > 1:
        powers = np.multiply.accumulate(np.full(len(times) + 1, _MULTIPLIER))
        mixed = (np.ascontiguousarray(times).view(np.uint64) * powers[:-1, None]).sum(axis=0, dtype=np.uint64)
        digests[team] = digests[team] * powers[-1] + mixed


def _classes(digest: _Digest, ranks: Ranks) -> RankClasses:
    """Classes in the order of their first ranks."""
    _, first, label = np.unique(digest, return_index=True, return_inverse=True)
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(order.size)
    renumbered = position[label].astype(np.int64)
    names = tuple(rank_text(ranks[renumbered == i], "GPU") for i in range(order.size))
    return RankClasses(renumbered, tuple(int(i) for i in first[order]), names)
