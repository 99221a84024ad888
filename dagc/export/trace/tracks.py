"""The tracks of a trace: a process for each team of each phase of each replica, a thread for each lane of a rank.

Turns timelines and a choice of ranks into numbered tracks. By default a rank represents all of its team that behave
alike, and its name lists them; a selection shows the ranks that it names, of all replicas. Ranks without a slice are
not there. The first process has the critical path, with two threads for each phase; the first thread of each other
process has the micro-batches.

Ranks behave alike that have the same start and end of every node, in every run that is shown. Times by rank are folded
into one 64-bit number a rank with a fixed odd multiplier, so equal ranks are always equal; two different ones would
share a number once in 2^64. Vectorised over ranks, copies and micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dagc.cost.memory import PoolMemory
from dagc.export.ranks import RankSelection
from dagc.export.times import duration_of
from dagc.export.titles import phase_names, rank_text, team_of
from dagc.graph.graph import Graph, PhaseGraph
from dagc.graph.priced import Picoseconds
from dagc.ops.op import Lane
from dagc.plan.deployment import Phase
from dagc.plan.layout import Ranks
from dagc.plan.plan import Plan
from dagc.schedule.structure import LANES
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


PATH_PROCESS = 1
"""The process of the critical path."""

PATH_THREADS = 2
"""Its threads for each phase, numbered from 1 on: the path, and what the time of its busiest stage is spent on."""


@dataclass(frozen=True, slots=True, eq=False)
class TeamTracks:
    """One process. `local` are the shown ranks of the team, `first_gpu` the first of them in the plan (-1: none).
    `is_alike`: one rank is shown for all of the team.

    Thread `first_thread` has the micro-batches, thread `first_thread + 1 + 2 i + l` lane l of the i-th shown rank.
    `shown_as[rank]` says which of the shown ranks a local rank of the team is or is like, -1 where none.
    """

    pid: int
    name: str
    first_thread: int
    local: Ranks
    titles: tuple[str, ...]
    shown_as: Ranks
    first_gpu: int
    is_alike: bool

    def threads(self, lane: Lane) -> Ranks:
        """The threads of a lane, by shown rank."""
        return self.first_thread + 1 + LANES.index(lane) + len(LANES) * np.arange(self.local.size, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class PhaseTracks:
    """One phase of one replica: its tracks by team, and when it begins, in picoseconds.

    `number` counts phases in the order of time. `is_first`: the replica whose critical path is that of the deployment.
    """

    timeline: Timeline
    begin: int
    teams: tuple[TeamTracks, ...]
    number: int
    name: str
    is_first: bool

    @property
    def is_shown(self) -> bool:
        """Whether any rank of it is."""
        return any(team.local.size for team in self.teams)


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """What a trace is made of: a plan, its graph, the timelines of `graph.phases` and those of `graph.others`, and
    what each pool holds.
    """

    plan: Plan
    graph: Graph
    timelines: tuple[Timeline, ...]
    others: tuple[Timeline, ...] = ()
    memory: tuple[PoolMemory, ...] = ()


def tracks(traced: Traced, ranks: RankSelection | None, most: int = MOST_RANKS) -> Iterator[PhaseTracks]:
    """The tracks in the order of their numbers; without a selection one rank of each class, `most` of a team."""
    pid, thread = PATH_PROCESS + 1, 1 + PATH_THREADS * len(traced.timelines)
    for order, name, timeline, begin in _phases(traced, with_others=ranks is not None):
        graph = timeline.priced.graph
        for replica in graph.replicas if ranks else graph.replicas[:1]:
            teams: list[TeamTracks] = []
            for local, titles, shown_as, index in _shown(traced.plan, timeline, replica, ranks, most):
                gpus = graph.teams[index].ranks + _move(traced.plan, graph, replica)
                title = _process_name(name, graph, index, gpus, replica if ranks else None)
                first = int(gpus[local[0]]) if local.size else -1
                is_alike = ranks is None and local.size == 1
                teams.append(TeamTracks(pid, title, thread, local, titles, shown_as, first, is_alike))
                pid += 1
                thread += 1 + len(LANES) * local.size
            is_first = any(timeline is one for one in traced.timelines) and replica == graph.replicas[0]
            yield PhaseTracks(timeline, begin, tuple(teams), order, name, is_first)


def last_end(traced: Traced) -> int:
    """When the last operator of any rank ends, in picoseconds."""
    return max(begin + _end(timeline) for _, _, timeline, begin in _phases(traced, with_others=True))


def _end(timeline: Timeline) -> int:
    """From the beginning of the phase. The last copy of a run has the last end of each operator."""
    templates = timeline.priced.graph.templates
    return max(
        int((run.start(run.count - 1, node) + duration_of(timeline, run, run.count - 1, node)).max())
        for run in timeline.shown()
        for node in range(len(templates[run.template].nodes))
    )


def _phases(traced: Traced, with_others: bool) -> Iterator[tuple[int, str, Timeline, int]]:
    """Phases with their number, name and beginning; further classes of replicas beside those that are shown."""
    begin = 0
    for order, (key, timeline) in enumerate(zip(phase_names(traced.graph), traced.timelines, strict=True)):
        name = "KV-cache transfer" if key == "handover" else key
        yield order, name, timeline, begin
        shown = timeline.priced.graph
        for other in traced.others if with_others else ():
            graph = other.priced.graph
            if (graph.phase, graph.service) == (shown.phase, shown.service):
                yield order, name, other, begin
        begin += timeline.makespan


def _shown(
    plan: Plan, timeline: Timeline, replica: int, ranks: RankSelection | None, most: int
) -> Iterator[tuple[Ranks, tuple[str, ...], Ranks, int]]:
    """Local ranks and their titles, which of them each rank of the team is shown as, and the team."""
    graph = timeline.priced.graph
    if ranks is None:
        for index, classes in enumerate(rank_classes(timeline)):
            local = np.array(classes.representatives[:most], dtype=np.int64)
            yield local, classes.shown_names(most), np.where(classes.label < local.size, classes.label, -1), index
        return
    move = _move(plan, graph, replica)
    for index, team in enumerate(graph.teams):
        everyone = team.ranks + move
        local = np.flatnonzero(ranks.holds(everyone))
        shown_as = np.full(team.width, -1, dtype=np.int64)
        shown_as[local] = np.arange(local.size)
        yield local, tuple(f"GPU {rank}" for rank in everyone[local].tolist()), shown_as, index


def _move(plan: Plan, graph: PhaseGraph, replica: int) -> int:
    """How far the GPUs of a replica are from those of the first."""
    return first_rank(plan, graph, replica) - first_rank(plan, graph, graph.replicas[0])


def first_rank(plan: Plan, graph: PhaseGraph, replica: int) -> int:
    """The first global rank of a replica of the phase's service. The KV-cache transfer has its ranks as they are."""
    if graph.phase is Phase.BOTH:
        return 0
    deployment = plan.deployment
    service = next(s for s in deployment.services if s.phase in (Phase.BOTH, graph.phase))
    outer, inner = divmod(replica, service.replicas)
    return outer * deployment.replica_stride + service.first_rank + inner * service.replica_stride


def _process_name(phase: str, graph: PhaseGraph, index: int, gpus: Ranks, replica: int | None) -> str:
    """What tells a team from the others: `prefill · stage 0 · GPUs 0-15`; no replica: one of all."""
    alike, which = len(graph.replicas), ""
    if alike > 1 and graph.phase is not Phase.BOTH:
        which = f" · one of {alike} replicas" if replica is None else f" · replica {replica}"
    return f"{phase} · {_team_name(phase, graph, index)}{rank_text(gpus, 'GPU')}{which}"


def stage_name(phase: PhaseTracks, index: int) -> str:
    """Pool and stage of a team, as far as its phase has several: `attention · stage 0 · `, or nothing."""
    return _team_name(phase.name, phase.timeline.priced.graph, index)


def _team_name(phase: str, graph: PhaseGraph, index: int) -> str:
    team = graph.teams[index]
    pool = f"{team.pool} · " if team.pool not in ("main", phase) else ""
    several = any(one.pool == team.pool and one is not team for one in graph.teams)
    return f"{pool}stage {team.stage} · " if several else pool
