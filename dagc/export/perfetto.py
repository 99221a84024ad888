"""The timeline as a Perfetto protobuf trace, from the same slices as the JSON of chosen ranks.

Turns tables of slices into packets by numpy: a slice is one row of bytes of fixed layout, in which every number is a
varint padded to a fixed length (leading groups of zeros, which the wire format allows), so that all rows of a table
are written at once. Names are interned ahead of the slices that use them. Field numbers are those of
`perfetto/trace/trace_packet.proto`, `track_event.proto`, `track_descriptor.proto` and `interned_data.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dagc.export.protobuf import field, number, varint
from dagc.export.ranks import RankSelection
from dagc.export.slices import Names, SliceTable, slice_tables
from dagc.export.tracks import LANES, PhaseTracks, Traced, tracks

_Bytes = npt.NDArray[np.uint8]

PACKET, TIMESTAMP, SEQUENCE, FLAGS, TRACK_EVENT, INTERNED, DESCRIPTOR = 1, 8, 10, 13, 11, 12, 60
EVENT_TYPE, EVENT_TRACK, EVENT_NAME, EVENT_CATEGORY, EVENT_NOTE = 9, 11, 10, 3, 4
NOTE_NAME, NOTE_INT = 1, 4
BEGIN, END = 1, 2
STATE_CLEARED, NEEDS_STATE = 1, 2
MICRO_BATCH, LAYER = 1, 2
"""Interned names of the two notes on a slice."""

_TIME_BYTES, _TRACK_BYTES, _NAME_BYTES, _NUMBER_BYTES = 9, 4, 3, 4
"""Bytes of padded numbers, 7 bits each: 2^63 ns, 2^28 tracks, 2^21 names, 2^28 micro-batches or layers."""


def perfetto_trace(traced: Traced, ranks: RankSelection | None) -> Iterator[bytes]:
    """The trace in pieces."""
    phases = [phase for phase in tracks(traced, ranks) if phase.is_shown]
    notes = field(3, number(1, MICRO_BATCH) + field(2, b"micro_batch"))
    notes += field(3, number(1, LAYER) + field(2, b"layer"))
    yield _packet(number(FLAGS, STATE_CLEARED) + field(INTERNED, notes))
    for phase in phases:
        yield b"".join(_descriptors(phase))
    names, told = Names(), 0
    for table in slice_tables(phases, names):
        if len(names.numbers) > told:
            yield _interned(names, told)
            told = len(names.numbers)
        yield _slices(table)


def _packet(content: bytes) -> bytes:
    return field(PACKET, number(SEQUENCE, 1) + content)


def _descriptors(phase: PhaseTracks) -> Iterator[bytes]:
    """Processes and threads. The number of a thread's track is its id, that of a process's lies past all threads."""
    for team in phase.teams:
        if not team.local.size:
            continue
        process = number(1, team.pid) + field(6, team.name.encode())
        yield _packet(field(DESCRIPTOR, number(1, 2**32 + team.pid) + field(3, process)))
        for index, title in enumerate(team.titles):
            for order, lane in enumerate(LANES):
                tid = team.first_thread + len(LANES) * index + order
                name = f"{title} · {lane.value}".encode()
                thread = number(1, team.pid) + number(2, tid) + field(5, name)
                yield _packet(field(DESCRIPTOR, number(1, tid) + field(4, thread)))


def _interned(names: Names, told: int) -> bytes:
    """Names and categories not told before; both have the number of the name, from 1."""
    fresh = list(names.numbers)[told:]
    content = b"".join(
        field(kind, number(1, identity) + field(2, text.encode()))
        for identity, (key, category) in enumerate(fresh, start=told + 1)
        for kind, text in ((1, category), (2, key))
    )
    return _packet(number(FLAGS, NEEDS_STATE) + field(INTERNED, content))


def _slices(table: SliceTable) -> bytes:
    """A begin and an end packet a slice; only slices of a layer have the note on it."""
    has_layer = table.layer >= 0
    note = [_tag(EVENT_NOTE, 2), _byte(2 + 1 + _NUMBER_BYTES), _tag(NOTE_NAME), _byte(LAYER), _tag(NOTE_INT)]
    layer = [*note, _padded(np.maximum(table.layer, 0), _NUMBER_BYTES)]
    rows, length = table.start.size, sum(part.shape[1] for part in layer)
    event = [
        *_event(table.tid, BEGIN),
        _tag(EVENT_NAME), _padded(table.name + 1, _NAME_BYTES),
        _tag(EVENT_CATEGORY), _padded(table.name + 1, _NAME_BYTES),
        _tag(EVENT_NOTE, 2), _byte(2 + 1 + _NUMBER_BYTES), _tag(NOTE_NAME), _byte(MICRO_BATCH), _tag(NOTE_INT),
        _padded(table.micro_batch, _NUMBER_BYTES),
    ]  # fmt: skip
    begin = _packets(table.start, event, np.where(has_layer, length, 0))
    end = _packets(table.end, _event(table.tid, END), np.zeros(rows, dtype=np.int64))
    matrix = _matrix([*begin, *layer, *end], rows)
    if has_layer.all():
        return matrix.tobytes()
    kept = np.ones(matrix.shape, dtype=np.bool_)
    first = sum(part.shape[1] for part in begin)
    kept[~has_layer, first : first + length] = False
    return matrix[kept].tobytes()


def _event(track: npt.NDArray[np.int64], kind: int) -> list[_Bytes]:
    return [_tag(EVENT_TYPE), _byte(kind), _tag(EVENT_TRACK), _padded(track, _TRACK_BYTES)]


def _packets(time: npt.NDArray[np.int64], event: list[_Bytes], more: npt.NDArray[np.int64]) -> list[_Bytes]:
    """Packets that hold an event; `more` bytes follow what is listed of it."""
    inner = sum(part.shape[1] for part in event) + more
    head = [_tag(SEQUENCE), _byte(1), _tag(FLAGS), _byte(NEEDS_STATE), _tag(TIMESTAMP), _padded(time, _TIME_BYTES)]
    before = sum(part.shape[1] for part in head)
    outer = before + 2 + inner
    return [_tag(PACKET, 2), _padded(outer, 2), *head, _tag(TRACK_EVENT, 2), _padded(inner, 1), *event]


def _matrix(parts: list[_Bytes], rows: int) -> _Bytes:
    matrix = np.empty((rows, sum(part.shape[1] for part in parts)), dtype=np.uint8)
    at = 0
    for part in parts:
        matrix[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    return matrix


def _tag(number: int, kind: int = 0) -> _Bytes:
    return np.frombuffer(varint(number << 3 | kind), dtype=np.uint8)[None]


def _byte(value: int) -> _Bytes:
    return np.array([[value]], dtype=np.uint8)


def _padded(values: npt.NDArray[np.int64], length: int) -> _Bytes:
    """Varints of `length` bytes, shape (values, length)."""
    groups = values[:, None] >> (7 * np.arange(length, dtype=np.int64))
    groups &= 0x7F
    groups[:, :-1] |= 0x80
    return groups.astype(np.uint8)
