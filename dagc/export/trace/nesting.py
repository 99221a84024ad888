"""Slices around slices, so that a track reads at every zoom: phase > step > micro-batch > layer > operator.

Turns tables of slices into tables that have their frames too. A frame spans slices that follow each other on a track
and agree in a number: the micro-batch, say. Where micro-batches take turns on a track, each turn has a frame, so frames
nest whatever runs between. A table holds the beginning of a frame before its first slice, and its end after its last.

A frame whose end is in a later table is known as a whole only there. A reader of whole slices sorts what begins at one
moment by length, so a frame must not come after a slice of its own length: the last slice of each track waits for the
next table, and such a frame has more than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.export.trace.slice_table import (
    ABSENT,
    BEGIN,
    END,
    LATE_END,
    OPEN_BEGIN,
    Column,
    SliceLabel,
    SliceLabels,
    SliceTable,
    block,
    joined,
)

_CLOSED = -2
"""Instead of a number, where no frame is open: it equals none, nor what has no number."""

_MOST_LEVELS = 8

_Mask = npt.NDArray[np.bool_]

_Rows = tuple[Column, Mapping[str, Column]]
"""Where rows belong in a table, and their columns."""


def nested(
    tables: Iterable[SliceTable], labels: SliceLabels, phase: str, around: Sequence[str]
) -> Iterator[SliceTable]:
    """Tables with frames, of one phase. On each track slices come in the order of time, and none overlaps."""
    nest = _Nest(labels, phase, tuple(around))
    waiting: SliceTable | None = None
    for table in tables:
        if waiting is not None:
            taken = nest.taken(waiting, is_last=False)
            if taken.size:
                yield taken
        waiting = table
    if waiting is not None:
        yield nest.taken(waiting, is_last=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """What a table leaves to the next: the last slice of each track, and number and start of the frames that are open
    before it, shape (levels, tracks), `_CLOSED` where there is none.
    """

    rows: Mapping[str, Column]
    numbers: Column
    starts: Column


@dataclass(frozen=True, slots=True, eq=False)
class _Tracks:
    """Slices by track and time.

    `order` are their rows in the table, `numbers` what frames agree in, by level. `first`: the first of a track;
    `waits`: for the next table; `fresh`: a frame begins, by level; `begins`: the first slice here of the frame that a
    slice is in, by level; `since`: where that was open before, its start.
    """

    rows: Mapping[str, Column]
    order: Column
    numbers: Column
    first: _Mask
    waits: _Mask
    fresh: _Mask
    begins: Column
    since: Column


@dataclass(slots=True)
class _Nest:
    labels: SliceLabels
    phase: str
    around: tuple[str, ...]
    open: _Open | None = None

    def taken(self, table: SliceTable, is_last: bool) -> SliceTable:
        """The slices of a table, but for the last of each track where more tables come, and their frames."""
        tracks = self._tracks(joined([self.open.rows, table.columns]) if self.open else table.columns, is_last)
        found = [made for level in range(len(tracks.numbers)) for made in self._frames(tracks, level)]
        self.open = None if is_last else _left(tracks)
        kept = ~tracks.waits
        places = [_place(tracks.order[kept], 1, 0), *(place for place, _ in found)]
        slices = {name: column[kept] for name, column in tracks.rows.items()}
        merged = joined([slices, *(frames for _, frames in found)])
        by_place = np.argsort(np.concatenate(places), kind="stable")
        return SliceTable({name: column[by_place] for name, column in merged.items()})

    def _tracks(self, rows: Mapping[str, Column], is_last: bool) -> _Tracks:
        order = np.argsort(rows["tid"], kind="stable")
        by_track = {name: column[order] for name, column in rows.items()}
        thread = by_track["tid"]
        first = np.append(True, thread[1:] > thread[:-1])
        last = np.append(first[1:], True)
        numbers = np.stack([np.zeros(order.size, dtype=np.int64), *(by_track[name] for name in self.around)])
        fresh = np.ones(numbers.shape, dtype=np.bool_)
        fresh[:, 1:] = (numbers[:, 1:] != numbers[:, :-1]) | first[1:]
        since = np.full(numbers.shape, _CLOSED, dtype=np.int64)
        if self.open:
            # Each track that was left begins with the slice that waited.
            known = np.flatnonzero(first)[np.isin(thread[first], self.open.rows["tid"])]
            fresh[:, known] = self.open.numbers != numbers[:, known]
            since[:, known] = self.open.starts
        fresh = np.logical_or.accumulate(fresh, axis=0)
        begins = np.maximum.accumulate(np.where(fresh | first, np.arange(order.size), 0), axis=1)
        return _Tracks(by_track, order, numbers, first, last & (not is_last), fresh, begins, since)

    def _frames(self, tracks: _Tracks, level: int) -> Iterator[_Rows]:
        """Beginnings and ends of the frames of a level."""
        begins = np.flatnonzero(tracks.fresh[level] | tracks.first)
        ends = np.append(begins[1:], tracks.order.size) - 1
        there = tracks.numbers[level, begins] != ABSENT
        begins, ends = begins[there], ends[there]
        new, stays = tracks.fresh[level, begins], tracks.waits[ends]
        start = np.where(new, tracks.rows["start"][begins], tracks.since[level, begins])
        label = self._labels(level, tracks.numbers[level, begins])

        def rows(which: _Mask, at: Column, slot: int, kind: Column) -> _Rows:
            same = {name: tracks.rows[name][begins[which]] for name in ("pid", "tid", *self.around[:level])}
            end = tracks.rows["end"][ends[which]]
            frames = block(start[which], end, kind=kind[which], label=label[which], **same)
            return _place(tracks.order[at[which]], slot, level), frames

        yield rows(new & ~tracks.waits[begins], begins, 0, np.where(stays, OPEN_BEGIN, BEGIN))
        yield rows(~stays, ends, 2, np.where(new, END, LATE_END))

    def _labels(self, level: int, numbers: Column) -> Column:
        """The label of each frame of a level, by its number."""
        category = self.around[level - 1].replace("_", "-") if level else "phase"
        found, which = np.unique(numbers, return_inverse=True)
        names = [f"{category} {number}" if level else self.phase for number in found.tolist()]
        known = [self.labels.number(SliceLabel(name, category, (("phase", self.phase),))) for name in names]
        return np.array(known, dtype=np.int64)[which]


def _left(tracks: _Tracks) -> _Open:
    """What is open before the slice that waits on each track."""
    waits = np.flatnonzero(tracks.waits)
    closed, begins = tracks.fresh[:, waits], tracks.begins[:, waits]
    levels = np.arange(len(closed))[:, None]
    started = np.where(tracks.fresh[levels, begins], tracks.rows["start"][begins], tracks.since[levels, begins])
    return _Open(
        {name: column[waits] for name, column in tracks.rows.items()},
        np.where(closed, _CLOSED, tracks.numbers[:, waits]),
        np.where(closed, _CLOSED, started),
    )


def _place(rows: Column, slot: int, level: int) -> Column:
    """Sorts what is before (slot 0), at (1) and after (2) each row of a table, from the outermost level."""
    return (rows * 3 + slot) * _MOST_LEVELS + level
