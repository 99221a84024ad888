"""A priced phase becomes columns: one entry for each execution of an operator on a rank, and edges in rows.

Turns chunks of parts into numpy arrays by slices: rows of a part are consecutive ranks, repeated copies are one
assignment. No loop runs over ranks, none over repeated copies. Assumes that durations fit the graph (by rank, or by
copy and rank). What is expanded is one replica of the class that the graph represents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dagc.export.expanded_rows import Chunk, RowBlock, RowRole, chunks, count
from dagc.graph.priced import PricedPhase
from dagc.ops.groups import Groups
from dagc.schedule.structure import LANES

Column = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Expanded:
    """Rows in topological order, and their edges: row i waits for `sources[first_edge[i]:first_edge[i + 1]]`.

    `template`, `node`, `rank` (global), `step`, `stage`, `micro_batch`, `segment`, `copy` (of the segment) and `lane`
    (0 compute, 1 communication) name the slot; `node` and `rank` are -1 where a row is virtual. `duration` is in
    picoseconds, negative only where a virtual row leads from a send back to the start of its receive. `parts` are the
    first rows of the parts: rows of a part do not wait for each other. Rows and edges begin at `first` and
    `first_edge[0]` where this is a piece of a larger expansion.
    """

    template: npt.NDArray[np.int16]
    node: npt.NDArray[np.int16]
    stage: npt.NDArray[np.int16]
    segment: npt.NDArray[np.int16]
    step: npt.NDArray[np.int8]
    lane: npt.NDArray[np.int8]
    rank: npt.NDArray[np.int32]
    micro_batch: npt.NDArray[np.int32]
    copy: npt.NDArray[np.int32]
    duration: npt.NDArray[np.int64]
    first_edge: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int32 | np.int64]
    parts: npt.NDArray[np.int64]
    first: int = 0

    @property
    def rows(self) -> int:
        """Rows, the virtual ones included."""
        return int(self.duration.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        columns = (getattr(self, f.name) for f in fields(self) if f.name not in ("first", "parts"))
        return sum(int(column.nbytes) for column in columns)


def expand(priced: PricedPhase) -> Expanded:
    """The whole expansion of one replica. See `dagc.memory_limit` for whether it fits before calling."""
    size = count(priced.graph)
    whole = _empty(0, size.rows, 0, size.edges, size.rows)
    firsts = [_fill(whole, chunk, priced) for chunk in chunks(priced.graph)]
    return _with_parts(whole, firsts)


def pieces(priced: PricedPhase) -> Iterator[Expanded]:
    """The expansion a few thousand rows and more at a time; edges lead to earlier rows of this and other pieces."""
    total = count(priced.graph).rows
    for chunk in chunks(priced.graph):
        rows, edges = chunk.rows * chunk.times, chunk.edges * chunk.times
        piece = _empty(chunk.first, rows, chunk.first_edge, edges, total)
        yield _with_parts(piece, [_fill(piece, chunk, priced)])


def _empty(first: int, rows: int, first_edge: int, edges: int, total: int) -> Expanded:
    first_edges = np.empty(rows + 1, dtype=np.int64)
    first_edges[0], first_edges[-1] = first_edge, first_edge + edges
    sources: npt.NDArray[np.int32 | np.int64] = np.empty(edges, dtype=np.int32 if total < 2**31 else np.int64)
    return Expanded(
        template=np.zeros(rows, dtype=np.int16),
        node=np.full(rows, -1, dtype=np.int16),
        stage=np.zeros(rows, dtype=np.int16),
        segment=np.zeros(rows, dtype=np.int16),
        step=np.zeros(rows, dtype=np.int8),
        lane=np.zeros(rows, dtype=np.int8),
        rank=np.full(rows, -1, dtype=np.int32),
        micro_batch=np.zeros(rows, dtype=np.int32),
        copy=np.zeros(rows, dtype=np.int32),
        duration=np.zeros(rows, dtype=np.int64),
        first_edge=first_edges,
        sources=sources,
        parts=np.empty(0, dtype=np.int64),
        first=first,
    )


def _with_parts(made: Expanded, firsts: list[npt.NDArray[np.int64]]) -> Expanded:
    return replace(made, parts=np.concatenate(firsts)) if firsts else made


def _fill(into: Expanded, chunk: Chunk, priced: PricedPhase) -> npt.NDArray[np.int64]:
    """Write a chunk, and tell the first rows of its parts."""
    for part in chunk.parts:
        _fill_slots(into, chunk, part, priced)
        _fill_edges(into, chunk, part, priced)
    firsts = np.array([part.first for part in chunk.parts], dtype=np.int64)
    return (firsts + chunk.rows * np.arange(chunk.times, dtype=np.int64)[:, None]).reshape(-1)


def _rows(into: Expanded, column: Column, chunk: Chunk, part: RowBlock) -> Column:
    """The entries of a part in all repetitions, shape (times, count), as a view."""
    begin = chunk.first - into.first
    whole = column[begin : begin + chunk.rows * chunk.times].reshape(chunk.times, chunk.rows)
    return whole[:, part.first - chunk.first : part.first - chunk.first + part.count]


def _fill_slots(into: Expanded, chunk: Chunk, part: RowBlock, priced: PricedPhase) -> None:
    graph, issue = priced.graph, part.issue
    number = issue.segment.template
    for column, value in (
        (into.template, number),
        (into.stage, issue.stage),
        (into.segment, issue.position),
        (into.step, issue.step),
        (into.micro_batch, issue.micro_batch),
    ):
        _rows(into, column, chunk, part)[:] = value
    _rows(into, into.copy, chunk, part)[:] = part.copy + np.arange(chunk.times)[:, None]
    if part.role in (RowRole.GROUP, RowRole.BARRIER):
        return
    node = graph.templates[number].nodes[part.node]
    _rows(into, into.duration, chunk, part)[:] = _durations(chunk, part, priced)
    if part.role in (RowRole.SLOT, RowRole.JOINED):
        _rows(into, into.node, chunk, part)[:] = part.node
        _rows(into, into.lane, chunk, part)[:] = LANES.index(node.op.lane)
        _rows(into, into.rank, chunk, part)[:] = graph.teams[issue.program.teams[node.team]].ranks


def _durations(chunk: Chunk, part: RowBlock, priced: PricedPhase) -> npt.NDArray[np.int64]:
    """By copy and rank, broadcastable to (times, count)."""
    duration = priced.costs[part.issue.segment.template][part.node].duration
    if duration.ndim == 2:
        duration = duration[part.copy : part.copy + chunk.times]
    return -duration if part.role in (RowRole.BEGIN, RowRole.LEAD) else duration


def _fill_edges(into: Expanded, chunk: Chunk, part: RowBlock, priced: PricedPhase) -> None:
    sources, degree = _edges(part, priced)
    moves = np.arange(chunk.times, dtype=np.int64)[:, None]
    begin = chunk.first_edge - int(into.first_edge[0])
    whole = into.sources[begin : begin + chunk.edges * chunk.times].reshape(chunk.times, chunk.edges)
    offset = part.first_edge - chunk.first_edge
    whole[:, offset : offset + part.edges] = sources + moves * chunk.rows
    firsts = part.first_edge + degree * np.arange(part.count, dtype=np.int64)
    _rows(into, into.first_edge[:-1], chunk, part)[:] = firsts + moves * chunk.edges


def _edges(part: RowBlock, priced: PricedPhase) -> tuple[npt.NDArray[np.int64], int]:
    """Sources of all rows of a part, one after the other, and how many each row has."""
    if part.role is RowRole.BARRIER:
        return part.by_rank[0] + np.arange(part.edges, dtype=np.int64), part.edges
    if part.role is RowRole.GROUP:
        members = _groups(part, priced).members
        sources = [first + members for first in part.by_rank]
        sources += [np.full((part.count, 1), first, dtype=np.int64) for first in part.of_all]
        return _joined(sources), part.edges // part.count
    if part.role is RowRole.JOINED:
        members = _groups(part, priced).members
        label = np.empty(part.count, dtype=np.int64)
        label[members] = np.arange(members.shape[0])[:, None]
        return part.of_all[0] + label, 1
    ranks = np.arange(part.count, dtype=np.int64)[:, None]
    sources = [first + ranks for first in part.by_rank] + [np.full_like(ranks, first) for first in part.of_all]
    return _joined(sources), len(sources)


def _joined(sources: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(sources, axis=1).reshape(-1) if sources else np.empty(0, dtype=np.int64)


def _groups(part: RowBlock, priced: PricedPhase) -> Groups:
    communication = priced.graph.templates[part.issue.segment.template].nodes[part.node].communication
    if communication is None:
        raise ValueError(f"node {part.node} joins a group and does not communicate")
    return communication.groups
