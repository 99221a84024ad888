"""The slices of a trace become blocks that a page can hold: some thousands, whatever the plan.

Slices that follow each other on a lane, of one kind, layer and micro-batch, are one block. Where that leaves too many,
blocks that begin in the same short interval are one too, of the kind of the longest of them; the interval doubles until
they fit. Vectorised over slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.export.page.kinds import KINDS, Kind, kind_of
from dagc.export.slices import Names, slice_tables
from dagc.export.tracks import LANES, PhaseTracks
from dagc.graph.graph import Pattern
from dagc.graph.ops import Category, Lane
from dagc.timeline.timeline import Timeline

MOST_BLOCKS = 1800
"""Blocks of one phase."""

MOST_RANKS = 24
"""Representative ranks of one phase."""

_FINEST = 8192
"""Intervals of a phase at which folding begins."""

_INT = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Time in nanoseconds of the phase. `layer` is -1 outside the layers and where several are joined."""

    rank: int
    lane: Lane
    start: int
    end: int
    kind: Kind
    name: str
    count: int
    micro_batch: int
    layer: int


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

    def taken(self, index: npt.NDArray[np.intp]) -> _Columns:
        return _Columns(*(getattr(self, name)[index] for name in self.__slots__))


def phase_lanes(phase: PhaseTracks) -> PhaseLanes:
    """The lanes of one phase."""
    names = Names()
    tables = list(slice_tables((phase,), names))
    teams = zip(phase.teams, phase.timeline.priced.graph.teams, strict=True)
    titles = [(f"{team.pool} · stage {team.stage}", title) for shown, team in teams for title in shown.titles]
    span = max(phase.timeline.makespan // 1000, 1)
    if not tables:
        return PhaseLanes((), (), span, 0, 0, 0)
    keys, kinds = tuple(names.numbers), _kinds(phase.timeline)
    of_name = np.array([KINDS.index(kinds[key]) for key, _ in keys], dtype=np.int64)
    name = np.concatenate([table.name for table in tables])
    first = phase.teams[0].first_thread
    whole = _Columns(
        np.concatenate([table.tid for table in tables]) - first,
        np.concatenate([table.start for table in tables]) - phase.begin // 1000,
        np.concatenate([table.end for table in tables]) - phase.begin // 1000,
        name,
        of_name[name],
        np.concatenate([table.layer for table in tables]),
        np.concatenate([table.micro_batch for table in tables]),
        np.ones(name.size, dtype=np.int64),
    )
    shown = np.flatnonzero(whole.track < len(LANES) * MOST_RANKS)
    ordered = shown[np.lexsort((whole.start[shown], whole.track[shown]))]
    folded, interval = _folded(whole.taken(ordered), span)
    blocks = tuple(_block(folded, index, keys) for index in range(folded.start.size))
    return PhaseLanes(
        tuple(titles[:MOST_RANKS]), blocks, span, int(shown.size), interval, max(0, len(titles) - MOST_RANKS)
    )


def _kinds(timeline: Timeline) -> dict[str, Kind]:
    """The kind of each operator of the phase by its key."""
    found: dict[str, Kind] = {}
    for template in timeline.priced.graph.templates:
        for node in template.nodes:
            pattern: Pattern | None = node.communication.pattern if node.communication else None
            found[node.key] = kind_of(node.key, Category(node.op.category), pattern)
    return found


def _folded(slices: _Columns, span: int) -> tuple[_Columns, int]:
    found = _joined(slices, (slices.track, slices.kind, slices.layer, slices.batch))
    interval = max(span // _FINEST, 1)
    if found.start.size <= MOST_BLOCKS:
        return found, 0
    while True:
        coarse = _joined(found, (found.track, found.start // interval))
        if coarse.start.size <= MOST_BLOCKS or interval > span:
            return coarse, interval
        interval *= 2


def _joined(slices: _Columns, keys: Sequence[_INT]) -> _Columns:
    """Neighbours whose keys are equal become one, of the name and kind of the longest."""
    differs = np.zeros(slices.start.size, dtype=bool)
    differs[0] = True
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    begins = np.flatnonzero(differs)
    group = np.cumsum(differs) - 1
    order = np.lexsort((slices.start - slices.end, group))
    longest = order[np.searchsorted(group[order], np.arange(begins.size))]
    one_layer = np.minimum.reduceat(slices.layer, begins) == np.maximum.reduceat(slices.layer, begins)
    return _Columns(
        slices.track[begins],
        slices.start[begins],
        np.maximum.reduceat(slices.end, begins),
        slices.name[longest],
        slices.kind[longest],
        np.where(one_layer, slices.layer[begins], -1),
        slices.batch[longest],
        np.add.reduceat(slices.count, begins),
    )


def _block(columns: _Columns, index: int, keys: Sequence[tuple[str, str]]) -> Block:
    rank, lane = divmod(int(columns.track[index]), len(LANES))
    return Block(
        rank,
        LANES[lane],
        int(columns.start[index]),
        int(columns.end[index]),
        KINDS[int(columns.kind[index])],
        keys[int(columns.name[index])][0],
        int(columns.count[index]),
        int(columns.batch[index]),
        int(columns.layer[index]),
    )
