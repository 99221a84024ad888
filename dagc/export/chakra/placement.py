"""The phases of a deployment on the GPUs of every replica, and the communicator groups of their collectives.

A phase graph represents a class of replicas and names the ranks of the first. Here every replica, and every set of
replicas that hands the cache over together, has its own. Replicas without a sequence do nothing and are not there.
Groups are the partitions of teams as global ranks, of all replicas, numbered from 1; those with the same ranks have
one number. With them: how large a collective is for those who replay it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import orjson

from dagc.export.chakra.rank_programs import RankProgram
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced, first_rank
from dagc.graph.priced import Picoseconds
from dagc.ops.communication import Collective
from dagc.ops.groups import Groups
from dagc.ops.load import Load
from dagc.plan.deployment import Service
from dagc.plan.layout import Ranks
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPhase:
    """One phase of one replica: its timeline, and the global ranks of each team of the phase."""

    timeline: Timeline
    ranks: tuple[Ranks, ...]


def placed_phases(traced: Traced) -> dict[str, tuple[PlacedPhase, ...]]:
    """All replicas of each phase, by the name of the phase, in the order of time."""
    found: dict[str, tuple[PlacedPhase, ...]] = {}
    for name, shown in zip(phase_names(traced.graph), traced.timelines, strict=True):
        classes = (shown, *(other for other in traced.others if _alike(other, shown)))
        found[name] = tuple(PlacedPhase(line, ranks) for line in classes for ranks in _replicas(traced.plan, line))
    return found


def _alike(one: Timeline, other: Timeline) -> bool:
    a, b = one.priced.graph, other.priced.graph
    return (a.phase, a.service) == (b.phase, b.service)


def _replicas(plan: Plan, timeline: Timeline) -> Iterator[tuple[Ranks, ...]]:
    graph = timeline.priced.graph
    if graph.service == "handover":
        yield from _joint_replicas(plan)
        return
    own = first_rank(plan, graph, graph.replicas[0])
    for replica in graph.replicas:
        move = first_rank(plan, graph, replica) - own
        yield tuple(team.ranks + move for team in graph.teams)


def _joint_replicas(plan: Plan) -> Iterator[tuple[Ranks, ...]]:
    """Stages of prefill, then of decode, of each set of replicas that exchange the cache."""
    prefill, decode = plan.deployment.services
    joint = gcd(prefill.replicas, decode.replicas)
    for number in range(plan.deployment.replicas * joint):
        yield (*_stages(plan, prefill, number, joint), *_stages(plan, decode, number, joint))


def _stages(plan: Plan, service: Service, number: int, joint: int) -> Iterator[Ranks]:
    each = service.replicas // joint
    for stage in range(service.stages):
        held = range(number * each, (number + 1) * each)
        deployment, pool = plan.deployment, service.attention_pool
        yield np.concatenate([deployment.global_ranks(service, pool, stage, replica) for replica in held])


class GroupNumbers:
    """The numbers of all groups of a phase, in the order of replicas, teams and what these do."""

    def __init__(self, phase: Sequence[PlacedPhase], programs: dict[int, tuple[RankProgram, ...]]) -> None:
        """Of all replicas of a phase; `programs` by the identity of their timeline."""
        self._numbers: dict[tuple[int, ...], int] = {}
        self._by_rank: dict[tuple[int, int, int], Ranks] = {}
        for index, placed in enumerate(phase):
            for team, program in enumerate(programs[id(placed.timeline)]):
                self._add(index, placed, team, program)

    def of_rank(self, replica: int, team: int, groups: Groups, local: int) -> int:
        """The number of a local rank's group."""
        return int(self._by_rank[replica, team, id(groups)][local])

    def json(self) -> bytes:
        """The groups file: global ranks by the number as text."""
        return orjson.dumps({str(number): ranks for ranks, number in self._numbers.items()})

    def _add(self, replica: int, placed: PlacedPhase, team: int, program: RankProgram) -> None:
        templates = placed.timeline.priced.graph.templates
        for stretch in program.stretches:
            for entry in stretch.entries:
                collective = templates[entry.end.template].nodes[entry.end.node].communication
                if collective is None or entry.exchange or (replica, team, id(collective.groups)) in self._by_rank:
                    continue
                numbers = np.zeros(placed.ranks[team].size, dtype=np.int64)
                for members in collective.groups.members:
                    ranks = tuple(np.sort(placed.ranks[team][members]).tolist())
                    numbers[members] = self._numbers.setdefault(ranks, len(self._numbers) + 1)
                self._by_rank[replica, team, id(collective.groups)] = numbers


def collective_bytes(collective: Collective, copy: int, local: int) -> int:
    """`comm_size` of a collective for a local rank: that of the member of its group with most, the same for all."""
    load, groups = collective.bytes, collective.groups
    row = load[copy] if load.ndim > 1 else load
    members = groups.members[(groups.members == local).any(axis=1)][0] if row.size > 1 else np.zeros(1, dtype=np.int64)
    return collective.comm_size(float(row[members].max()))


def of_rank(values: Load | Picoseconds, copy: int, local: int) -> float:
    """The value of one local rank in one copy."""
    row = values[copy] if values.ndim > 1 else values
    return float(row[local if row.size > 1 else 0])


def part_sizes(sent: float, taken: Load) -> Ranks:
    """Bytes that a rank which sends so much in all sends to each that takes a share, whole and summing to the whole."""
    ends = np.rint(sent * np.cumsum(taken) / max(float(taken.sum()), 1.0)).astype(np.int64)
    return np.diff(ends, prepend=0)
