"""How the busiest stage on the critical path spends its time, in sum and moment by moment.

The stage is the team with the most time on the path, seen from its rank with the most time on the path. Its compute
lane is busy with memory-bound nodes, else compute-bound ones; time in which only its communication lane is busy is
communication; the rest is bubble. For a phase that repeats, the time is one steady interval: overlap between a step
and the next is that between the last two periods that ran, because every period is like the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import NodeCost, Picoseconds
from dagc.schedule.program import COUNT, OFFSET, SIZE, STAGE, TEMPLATE, Int64, Program
from dagc.schedule.template import Occupied

if TYPE_CHECKING:
    from dagc.schedule.recording import Recording


class Spending(StrEnum):
    """What a rank's time goes on; a field of `Shares` each."""

    COMPUTE = "compute"
    MEMORY = "memory"
    COMMUNICATION = "communication"
    BUBBLE = "bubble"


@dataclass(frozen=True, slots=True)
class Shares:
    """How the busiest stage on the critical path spends the phase, as shares that sum to 1.

    `compute` and `memory`: its compute lane runs a compute-bound or memory-bound node; `communication`: only its
    communication lane is busy; `bubble`: it waits (pipeline fill and drain, slower ranks).
    """

    compute: float
    memory: float
    communication: float
    bubble: float


UNKNOWN = Shares(nan, nan, nan, nan)
"""Of a phase of which times alone are asked."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time that local rank `rank` of a team spends on one thing."""

    team: int
    rank: int
    start: int
    end: int
    spending: Spending


@dataclass(frozen=True, slots=True, eq=False)
class _Slices:
    """Node executions of one rank that take time, ascending by start on each lane; `kind` indexes `_KINDS`."""

    start: Int64
    end: Int64
    kind: Int64

    def of(self, chosen: npt.NDArray[np.bool_]) -> _Slices:
        return _Slices(self.start[chosen], self.end[chosen], self.kind[chosen])


_KINDS = (Spending.BUBBLE, Spending.COMMUNICATION, Spending.MEMORY, Spending.COMPUTE)
"""By rising claim on a moment."""

_COMMUNICATION, _MEMORY, _COMPUTE = range(1, len(_KINDS))


def occupied_time(program: Program) -> list[Picoseconds]:
    """Time that each lane of the phase is at work in one step, by lane, shape (1,) or (width,) each.

    Every copy of every segment runs once for each micro-batch of its size, so this is a sum over segments.
    """
    found: list[Picoseconds] = [np.zeros(1, dtype=np.int64) for _ in range(program.state.lanes)]
    for lane, time in _occupied(program, lambda template: program.templates[template].occupied):
        found[lane] = found[lane] + time
    return found


def _occupied(program: Program, of: Callable[[int], Occupied]) -> Iterator[tuple[int, Picoseconds]]:
    """Lane of the phase and time of each segment in all its copies and micro-batches."""
    uses = program.graph.uses
    for size, one, _, segment in program.graph.segments():
        for lane, (each, whole) in of(segment.template).items():
            yield 2 * one.teams[lane // 2] + lane % 2, uses[size] * (segment.count * each + whole)


def phase_shares(
    program: Program,
    whose: tuple[int, int] | None,
    times: Sequence[Picoseconds],
    overlap: Callable[[int, int], int],
    interval: int,
) -> Shares:
    """Shares of the interval of a team's rank: what runs in one step, over it. `times` are those of `occupied_time`.

    `overlap` of a team and rank is the time of the last period in which both of its lanes are busy.
    """
    if whose is None or interval <= 0:
        return Shares(0.0, 0.0, 0.0, 1.0)
    team, rank = whose
    compute, communication = (_at(times[2 * team + lane], rank) for lane in (0, 1))
    if compute and communication and not _is_serial(program):
        communication = max(0, communication - overlap(team, rank))
    whole = max(interval, compute + communication)
    bound = _occupied(program, lambda template: program.templates[template].memory_bound)
    memory = sum(_at(time, rank) for lane, time in bound if lane == 2 * team)
    bubble = whole - compute - communication
    return Shares((compute - memory) / whole, memory / whole, communication / whole, bubble / whole)


def _at(times: Picoseconds, rank: int) -> int:
    return int(times[rank if times.size > 1 else 0])


def _is_serial(program: Program) -> bool:
    """Whether one step at a time runs on each rank, whatever they take: all are one chain through one stream."""
    graph = program.graph
    if len(graph.micro_batches) > 1 or len(graph.programs[0]) > 1:
        return False
    used = {segment.template for _, _, _, segment in graph.segments() if segment.count}
    return bool(frozenset[int].intersection(*(program.templates[one].structure.serial for one in used)))


def overlap_of(window: Sequence[Recording], team: int, rank: int) -> int:
    """Time of the last period in which both lanes are busy, one of them perhaps with a period before.

    `window` are recordings of the last two periods, the older one first, or of the only one.
    """
    *before, last = [_lanes(_slices(period, team, rank)) for period in window]
    found = _common(*last)
    for earlier in before:
        found += _common(last[0], earlier[1]) + _common(earlier[0], last[1])
    return found


def _lanes(slices: _Slices) -> tuple[_Slices, _Slices]:
    """Those of the compute and of the communication lane."""
    talks = slices.kind == _COMMUNICATION
    return slices.of(~talks), slices.of(talks)


def _common(one: _Slices, other: _Slices) -> int:
    """Time in which slices of both are running."""
    if not one.start.size or not other.start.size:
        return 0
    before = _time_before(other, np.concatenate([one.start, one.end]))
    return int(before[one.start.size :].sum() - before[: one.start.size].sum())


def _time_before(slices: _Slices, times: Int64) -> Int64:
    """Running time of slices that do not overlap, before each of some times."""
    begun = np.searchsorted(slices.start, times, side="right")
    running = np.concatenate([[0], np.cumsum(slices.end - slices.start)])
    ends = np.concatenate([[np.iinfo(np.int64).min >> 1], slices.end])
    return running[begun] - np.maximum(ends[begun] - times, 0)


def _slices(recording: Recording, team: int, rank: int) -> _Slices:
    """All node executions of a rank that take time, in the order of their starts."""
    table, graph = recording.table, recording.program.graph
    names = (SIZE, STAGE, TEMPLATE, OFFSET, COUNT)
    keys = np.concatenate([table.issues[:, names], table.row_stride[:, None]], axis=1)
    found, label = np.unique(keys, axis=0, return_inverse=True)
    parts = [np.zeros((3, 0), dtype=np.int64)]
    for number, key in enumerate(found):
        size, stage, template, offset, count, _ = map(int, key)
        teams = graph.programs[size][stage].teams
        timed = recording.templates[template]
        nodes = [index for index, node in enumerate(timed.template.nodes) if teams[node.team] == team]
        if not nodes:
            continue
        steps = recording.steps_of(np.flatnonzero(label.ravel() == number), range(count))[
            ..., rank if recording.program.ranks > 1 else 0
        ]
        rows = slice(offset, offset + count)
        for node in nodes:
            begun = steps[:, :, timed.step_of[node]] + _on_rank(timed.offset(node, rows), rank)
            length = np.broadcast_to(_on_rank(timed.duration(node, rows), rank), begun.shape)
            lane = timed.structure.steps[timed.structure.places[node][0]].lane
            start, end = begun.ravel(), (begun + length).ravel()
            part = np.stack([start, end, np.full_like(start, _kind(timed.costs[node], lane))])
            parts.append(part[:, end > start])
    whole = np.concatenate(parts, axis=1)
    return _Slices(*whole[:, np.argsort(whole[0], kind="stable")])


def _on_rank(table: Picoseconds, rank: int) -> Int64:
    """By copy, on one rank."""
    return table[:, rank if table.shape[1] > 1 else 0]


def _kind(cost: NodeCost, lane: int) -> int:
    if lane % 2:
        return _COMMUNICATION
    return _MEMORY if cost.by_traffic else _COMPUTE


def time_breakdown(whose: tuple[int, int] | None, window: Sequence[Recording], interval: int) -> tuple[Stretch, ...]:
    """The stretches of a rank, in the order of time, without a gap.

    A phase that repeats is one steady-state interval long, from the first start of the last period on: what lies past
    the end of the interval is at its beginning, because there the period before it did the same.
    """
    if whose is None or interval <= 0:
        return ()
    slices = _slices(window[-1], *whose)
    begin = int(slices.start.min(initial=0)) if len(window) > 1 else 0
    cuts, claimed = _claims(_wrapped(slices, begin, interval), interval)
    edges = np.flatnonzero(np.diff(claimed, prepend=-1))
    bounds = [*cuts[edges].tolist(), interval]
    kinds = [_KINDS[int(kind)] for kind in claimed[edges]]
    spans = zip(bounds, bounds[1:], kinds, strict=False)
    return tuple(Stretch(*whose, begin + start, begin + end, kind) for start, end, kind in spans)


def _wrapped(slices: _Slices, begin: int, interval: int) -> _Slices:
    """What lies past the end, moved back by whole intervals; a slice across the end is cut there."""
    start, end = slices.start - begin, slices.end - begin
    moved = start - start % interval
    start, end = start - moved, end - moved
    over = end > interval
    return _Slices(
        np.concatenate([start, np.zeros(int(over.sum()), dtype=np.int64)]),
        np.concatenate([np.minimum(end, interval), end[over] - interval]),
        np.concatenate([slices.kind, slices.kind[over]]),
    )


def _claims(slices: _Slices, interval: int) -> tuple[Int64, Int64]:
    """Moments at which something begins or ends, and what has the strongest claim from there on."""
    cuts = np.unique(np.concatenate([slices.start, slices.end, np.zeros(1, dtype=np.int64)]))
    cuts = cuts[cuts < interval]
    claimed = np.zeros(cuts.size, dtype=np.int64)
    for kind in range(1, len(_KINDS)):
        running = slices.of(slices.kind == kind)
        begun = np.searchsorted(np.sort(running.start), cuts, side="right")
        done = np.searchsorted(np.sort(running.end), cuts, side="right")
        claimed[begun > done] = kind
    return cuts, claimed
