"""Communicator groups of a phase by number, from 1, and how large a collective is for those who replay it.

Turns the partitions of teams into groups of global ranks, of all replicas. Groups with the same ranks have one number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from dagc.export.chakra.rank_programs import RankProgram
from dagc.export.placed_phases import PlacedPhase
from dagc.graph.priced import Picoseconds
from dagc.ops.communication import Collective
from dagc.ops.groups import Groups
from dagc.ops.load import Load
from dagc.plan.layout import Ranks


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
