"""The slices of a trace become blocks that a page can hold: some thousands, whatever the plan.

Slices that follow each other on a lane without a wait, of one kind, layer and micro-batch, are one block. Where that
leaves too many, blocks that begin in the same short interval are one too, of the kind that takes most of its time; the
interval grows until they fit. Vectorised over slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.export.page.kinds import KINDS, Kind, kind_of
from dagc.export.times import CopyStarts, durations
from dagc.export.titles import team_of
from dagc.export.tracks import LANES, PhaseTracks
from dagc.graph.graph import Node
from dagc.graph.ops import Lane
from dagc.timeline.timeline import Run

MOST_BLOCKS = 3000
"""Blocks of one phase."""

_BLOCKS_A_LANE, _FEWEST = 150, 2000

MOST_RANKS = 12
"""Representative ranks of one phase, divided among its teams; each team has one."""

_FINEST = 8192
"""Intervals of a phase at which folding begins."""

_INT = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Time in nanoseconds of the phase; `busy` is what its slices take of it.

    `layer` is -1 outside the layers and where several are joined.
    """

    rank: int
    lane: Lane
    start: int
    end: int
    busy: int
    kind: Kind
    name: str
    count: int
    micro_batch: int
    layer: int

    @property
    def share(self) -> float:
        """How much of its time is busy."""
        return self.busy / max(self.end - self.start, 1)


@dataclass(frozen=True, slots=True)
class PhaseLanes:
    """One phase: titles of its representative ranks, and the blocks on their lanes.

    `slices` are those that the blocks stand for, `interval` the nanoseconds in which blocks were joined, 0 for none;
    `left_out` counts representatives that are not shown.
    """

    titles: tuple[tuple[str, str], ...]
    blocks: tuple[Block, ...]
    span: int
    slices: int
    interval: int
    left_out: int


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    track: _INT
    start: _INT
    end: _INT
    name: _INT
    kind: _INT
    layer: _INT
    batch: _INT
    count: _INT
    busy: _INT

    def taken(self, index: npt.NDArray[np.intp]) -> _Columns:
        return _Columns(*(getattr(self, name)[index] for name in self.__slots__))


def phase_lanes(phase: PhaseTracks) -> PhaseLanes:
    """The lanes of one phase."""
    graph = phase.timeline.priced.graph
    each = max(1, MOST_RANKS // len(phase.teams))
    kept = [min(each, team.local.size) for team in phase.teams]
    titles = [
        (f"{team.pool} · stage {team.stage}", title)
        for shown, team, count in zip(phase.teams, graph.teams, kept, strict=True)
        for title in shown.titles[:count]
    ]
    span = max(phase.timeline.makespan // 1000, 1)
    rows = _Rows(kept, np.concatenate([[0], np.cumsum(kept)]).astype(np.int64))
    names: list[Node] = []
    parts = [part for run in phase.timeline.runs if run.step == 0 for part in _slices(phase, run, rows, names)]
    if not parts:
        return PhaseLanes((), (), span, 0, 0, 0)
    whole = _Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    ordered = whole.taken(np.lexsort((whole.start, whole.track)))
    folded, interval = _folded(ordered, span, min(MOST_BLOCKS, max(_FEWEST, _BLOCKS_A_LANE * len(titles) * len(LANES))))
    blocks = tuple(_block(folded, index, names) for index in range(folded.start.size))
    left_out = sum(team.local.size for team in phase.teams) - len(titles)
    return PhaseLanes(tuple(titles), blocks, span, int(whole.start.size), interval, left_out)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Which ranks are drawn: so many of each team, from this row on."""

    kept: list[int]
    first: _INT


def _slices(phase: PhaseTracks, run: Run, rows: _Rows, names: list[Node]) -> Iterator[tuple[_INT, ...]]:
    """The columns of all slices of a run that take time, operator by operator, over copies and shown ranks."""
    graph = phase.timeline.priced.graph
    teams = graph.programs[run.size][run.stage].teams
    starts, copies = CopyStarts(run, range(run.count)), np.arange(run.count, dtype=np.int64)
    for index, node in enumerate(graph.templates[run.template].nodes):
        team = team_of(teams, node)
        local = phase.teams[team].local[: rows.kept[team]]
        tracks = LANES.index(node.op.lane) + len(LANES) * (rows.first[team] + np.arange(local.size))
        begun = starts.of(index, local)
        lasting = durations(phase.timeline, run, range(run.count), index, local)
        begun, lasting, tracks, layers = np.broadcast_arrays(begun, lasting, tracks, copies[:, None])
        kept = lasting >= 1000
        start, busy, size = begun[kept] // 1000, lasting[kept] // 1000, int(kept.sum())
        if not size:
            continue
        names.append(node)
        layer = np.full(size, -1) if run.first_layer is None else run.first_layer + layers[kept]
        shared = np.full(size, len(names) - 1), np.full(size, KINDS.index(_kind(node)))
        batch = np.full(size, run.micro_batch)
        yield tracks[kept], start, start + busy, *shared, layer, batch, np.ones(size, dtype=np.int64), busy


def _kind(node: Node) -> Kind:
    return kind_of(node.key, node.op.category, node.communication.pattern if node.communication else None)


def _folded(slices: _Columns, span: int, most: int) -> tuple[_Columns, int]:
    interval = max(span // _FINEST, 1)
    waits = np.concatenate([[0], slices.start[1:] - slices.end[:-1] > interval]).cumsum()
    found = _joined(slices, (slices.track, slices.kind, slices.layer, slices.batch, waits))
    if found.start.size <= most:
        return found, 0
    while True:
        coarse = _joined(found, (found.track, found.start // interval))
        if coarse.start.size <= most or interval > span:
            return coarse, interval
        interval += interval // 2 + 1


def _joined(slices: _Columns, keys: Sequence[_INT]) -> _Columns:
    """Neighbours whose keys are equal become one: of the kind that takes most time, named after the longest."""
    differs = np.zeros(slices.start.size, dtype=bool)
    differs[0] = True
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    begins, group = np.flatnonzero(differs), np.cumsum(differs) - 1
    by_kind = np.zeros((begins.size, len(KINDS)), dtype=np.int64)
    np.add.at(by_kind, (group, slices.kind), slices.busy)
    kind = by_kind.argmax(axis=1)
    order = np.lexsort((-slices.busy, slices.kind != kind[group], group))
    longest = order[np.searchsorted(group[order], np.arange(begins.size))]
    one_layer = np.minimum.reduceat(slices.layer, begins) == np.maximum.reduceat(slices.layer, begins)
    return _Columns(
        slices.track[begins],
        slices.start[begins],
        np.maximum.reduceat(slices.end, begins),
        slices.name[longest],
        kind,
        np.where(one_layer, slices.layer[begins], -1),
        slices.batch[longest],
        np.add.reduceat(slices.count, begins),
        np.add.reduceat(slices.busy, begins),
    )


def _block(columns: _Columns, index: int, names: Sequence[Node]) -> Block:
    rank, lane = divmod(int(columns.track[index]), len(LANES))
    return Block(
        rank,
        LANES[lane],
        int(columns.start[index]),
        int(columns.end[index]),
        int(columns.busy[index]),
        KINDS[int(columns.kind[index])],
        names[int(columns.name[index])].key,
        int(columns.count[index]),
        int(columns.batch[index]),
        int(columns.layer[index]),
    )
