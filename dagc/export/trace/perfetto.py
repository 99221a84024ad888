"""The timeline as a Perfetto protobuf trace, with what the JSON trace holds.

Turns the parts of a trace into packets by numpy: a slice is one row of bytes of fixed layout, in which every number is
a varint padded to the length of the table's greatest (leading groups of zeros, which the wire format allows), so that
all rows of a table are written at once; what a slice does not have is cut out of its row. Names, categories and texts
are interned ahead of the slices that use them. Field numbers are those of `perfetto/trace/trace_packet.proto`,
`track_event.proto`, `debug_annotation.proto`, `track_descriptor.proto`, `counter_descriptor.proto` and
`interned_data.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dagc.export import protobuf as wire
from dagc.export.protobuf import number, varint
from dagc.export.ranks import RankSelection
from dagc.export.trace.counters import GIGA, Counter
from dagc.export.trace.excerpt import Excerpt
from dagc.export.trace.parts import Part, Process, trace_parts
from dagc.export.trace.slice_table import ABSENT, Column, SliceLabel, SliceLabels, SliceTable
from dagc.export.trace.tracks import Traced

_Bytes = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]

PACKET, TIMESTAMP, SEQUENCE, FLAGS, TRACK_EVENT, INTERNED, DESCRIPTOR = 1, 8, 10, 13, 11, 12, 60
EVENT_TYPE, EVENT_TRACK, EVENT_NAME, EVENT_CATEGORY, EVENT_NOTE, EVENT_COUNT = 9, 11, 10, 3, 4, 44
FLOW_OUT, FLOW_IN = 47, 48
NOTE_NAME, NOTE_INT, NOTE_TEXT = 1, 4, 17
NAMES_OF_NOTES, NAMES_OF_EVENTS, CATEGORIES, TEXTS = 3, 2, 1, 29
BEGIN, END, COUNT = 1, 2, 4
STATE_CLEARED, NEEDS_STATE = 1, 2
FIXED64 = 1

_PROCESSES, _COUNTERS = 2**32, 2**33
"""Tracks of processes and of counters are numbered from here on, those of threads below."""


def perfetto_trace(traced: Traced, ranks: RankSelection | None = None, shown: Excerpt | None = None) -> Iterator[bytes]:
    """The trace in pieces."""
    labels = SliceLabels()
    return perfetto_parts(trace_parts(traced, ranks, labels, shown), labels)


def perfetto_parts(parts: Iterable[Part], labels: SliceLabels) -> Iterator[bytes]:
    """Parts of a trace as packets; `labels` holds those of a table once that has come."""
    yield _packet(number(FLAGS, STATE_CLEARED) + wire.field(INTERNED, b""))
    writer, counters = _Interned(), 0
    for part in parts:
        match part:
            case Process():
                yield b"".join(_descriptors(part))
            case SliceTable():
                yield writer.fresh(labels, part.numbers)
                yield _slices(part, writer)
            case Counter():
                counters += 1
                yield _counter_track(part, _COUNTERS + counters)
                yield _counts(part, _COUNTERS + counters)


def _packet(content: bytes) -> bytes:
    return wire.field(PACKET, number(SEQUENCE, 1) + content)


def _descriptors(process: Process) -> Iterator[bytes]:
    """A process and its threads, sorted by number."""
    descriptor = number(1, process.pid) + number(3, process.pid) + wire.field(6, process.name.encode())
    yield _packet(wire.field(DESCRIPTOR, number(1, _PROCESSES + process.pid) + wire.field(3, descriptor)))
    for tid, name in process.threads:
        descriptor = number(1, process.pid) + number(2, tid) + number(3, tid) + wire.field(5, name.encode())
        yield _packet(wire.field(DESCRIPTOR, number(1, tid) + wire.field(4, descriptor)))


def _counter_track(counter: Counter, track: int) -> bytes:
    name = f"{counter.name} {counter.key}".encode()
    where = number(1, track) + number(5, _PROCESSES + counter.pid)
    return _packet(wire.field(DESCRIPTOR, where + wire.field(2, name) + wire.field(8, b"")))


@dataclass(slots=True)
class _Interned:
    """Names and texts already written. A label's name and category have its number, from 1; `notes` are its arguments
    as bytes, `keys` and `texts` the numbers of their names and values.
    """

    notes: list[bytes] = field(default_factory=list[bytes])
    keys: dict[str, int] = field(default_factory=dict[str, int])
    texts: dict[str, int] = field(default_factory=dict[str, int])

    def fresh(self, labels: SliceLabels, numbers: Iterable[str]) -> bytes:
        """What was not written before, as a packet; nothing where there is none. `numbers` are names of arguments."""
        written = [len(self.notes), len(self.keys), len(self.texts)]
        fresh = list(labels.numbers)[written[0] :]
        for name in numbers:
            self._key(name)
        self.notes += [self._notes(label) for label in fresh]
        entries = [
            wire.field(kind, number(1, identity) + wire.field(2, text.encode()))
            for identity, label in enumerate(fresh, start=written[0] + 1)
            for kind, text in ((CATEGORIES, label.category), (NAMES_OF_EVENTS, label.name))
        ]
        for kind, known, before in ((NAMES_OF_NOTES, self.keys, written[1]), (TEXTS, self.texts, written[2])):
            for identity, text in enumerate(list(known)[before:], start=before + 1):
                entries.append(wire.field(kind, number(1, identity) + wire.field(2, text.encode())))
        return _packet(number(FLAGS, NEEDS_STATE) + wire.field(INTERNED, b"".join(entries))) if entries else b""

    def _key(self, name: str) -> int:
        return self.keys.setdefault(name, len(self.keys) + 1)

    def _notes(self, label: SliceLabel) -> bytes:
        return b"".join(wire.field(EVENT_NOTE, self._note(name, value)) for name, value in label.arguments)

    def _note(self, name: str, value: str | int) -> bytes:
        named = number(NOTE_NAME, self._key(name))
        if isinstance(value, int):
            return named + number(NOTE_INT, value)
        return named + number(NOTE_TEXT, self.texts.setdefault(value, len(self.texts) + 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Bytes of each row, shape (rows or 1, length), and which of them a row has; all where `kept` is None."""

    content: _Bytes
    kept: _Mask | None = None

    def lengths(self, rows: int) -> Column:
        """How many bytes each row has."""
        if self.kept is None:
            return np.full(rows, self.content.shape[1], dtype=np.int64)
        return np.broadcast_to(self.kept, (rows, self.content.shape[1])).sum(axis=1)


def _slices(table: SliceTable, interned: _Interned) -> bytes:
    """A packet where a slice begins, and one where it ends."""
    begin = [
        *_event(table["tid"], BEGIN),
        _constant(_tag(EVENT_NAME)), _numbers(table["label"] + 1),
        _constant(_tag(EVENT_CATEGORY)), _numbers(table["label"] + 1),
        _of_labels(table["label"], interned.notes),
        *_notes(table, interned),
        *_flow(table["flow"]),
    ]  # fmt: skip
    begins = _packets(table["start"], begin, table.size)
    ends = _packets(table["end"], _event(table["tid"], END), table.size)
    return _written([*_of(begins, table.begins), *_of(ends, table.ends)], table.size)


def _of(parts: list[_Part], rows: _Mask) -> list[_Part]:
    """Parts of some rows alone."""
    if bool(rows.all()):
        return parts
    return [_Part(part.content, rows[:, None] if part.kept is None else part.kept & rows[:, None]) for part in parts]


def _notes(table: SliceTable, interned: _Interned) -> Iterator[_Part]:
    for name in table.named:
        there = table[name] != ABSENT
        values = _padded(np.maximum(table[name], 0))
        head = number(NOTE_NAME, interned.keys[name]) + _tag(NOTE_INT)
        note = _tag(EVENT_NOTE, wire.LENGTH) + varint(len(head) + values.shape[1]) + head
        kept = None if bool(there.all()) else there[:, None]
        yield _Part(_bytes(note), kept)
        yield _Part(values, kept)


def _flow(flow: Column) -> Iterator[_Part]:
    for field_number, ends in ((FLOW_OUT, flow > 0), (FLOW_IN, flow < 0)):
        if bool(ends.any()):
            yield _Part(_bytes(_tag(field_number, FIXED64)), ends[:, None])
            yield _Part(np.abs(flow).astype("<u8").view(np.uint8).reshape(-1, 8), ends[:, None])


def _of_labels(label: Column, notes: list[bytes]) -> _Part:
    """The arguments of each row's label, which differ in length."""
    used, which = np.unique(label, return_inverse=True)
    texts = [notes[int(i)] for i in used]
    length = max(map(len, texts))
    table = np.frombuffer(b"".join(text.ljust(length, b"\0") for text in texts), dtype=np.uint8).reshape(-1, length)
    there = np.arange(length) < np.array([len(text) for text in texts])[:, None]
    return _Part(table[which], there[which])


def _counts(counter: Counter, track: int) -> bytes:
    rows = counter.times.size
    tracks = np.full(rows, track, dtype=np.int64)
    values = (counter.values / GIGA).astype("<f8").view(np.uint8).reshape(-1, 8)
    event = [*_event(tracks, COUNT), _constant(_tag(EVENT_COUNT, FIXED64)), _Part(values)]
    return _written(_packets(counter.times, event, rows), rows)


def _event(track: Column, kind: int) -> list[_Part]:
    head = number(EVENT_TYPE, kind) + _tag(EVENT_TRACK)
    return [_constant(head), _numbers(track)]


def _packets(time: Column, event: list[_Part], rows: int) -> list[_Part]:
    """Packets that hold an event each."""
    inner = sum((part.lengths(rows) for part in event), np.zeros(rows, dtype=np.int64))
    head = [
        _constant(number(SEQUENCE, 1) + number(FLAGS, NEEDS_STATE) + _tag(TIMESTAMP)),
        _numbers(time),
        _constant(_tag(TRACK_EVENT, wire.LENGTH)),
        _numbers(inner),
    ]
    outer = inner + sum(part.content.shape[1] for part in head)
    return [_constant(_tag(PACKET, wire.LENGTH)), _numbers(outer), *head, *event]


def _written(parts: list[_Part], rows: int) -> bytes:
    width = sum(part.content.shape[1] for part in parts)
    matrix, kept = np.empty((rows, width), dtype=np.uint8), np.ones((rows, width), dtype=np.bool_)
    at = 0
    for part in parts:
        columns = slice(at, at + part.content.shape[1])
        matrix[:, columns] = part.content
        if part.kept is not None:
            kept[:, columns] = part.kept
        at = columns.stop
    return matrix.tobytes() if bool(kept.all()) else matrix[kept].tobytes()


def _constant(content: bytes) -> _Part:
    return _Part(_bytes(content))


def _bytes(content: bytes) -> _Bytes:
    return np.frombuffer(content, dtype=np.uint8)[None]


def _tag(field_number: int, kind: int = 0) -> bytes:
    return varint(field_number << 3 | kind)


def _numbers(values: Column) -> _Part:
    return _Part(_padded(values))


def _padded(values: Column) -> _Bytes:
    """Varints of equal length, that of the greatest, shape (values, length)."""
    length = len(varint(int(values.max(initial=0))))
    groups = np.empty((values.size, length), dtype=np.uint8)
    for place in range(length):
        groups[:, place] = (values >> 7 * place) & 0x7F
    groups[:, :-1] |= 0x80
    return groups
