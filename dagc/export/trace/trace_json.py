"""The timeline as a Chrome JSON trace, which Perfetto opens.

Turns the parts of a trace into events, one a line, a table at a time. Times are whole nanoseconds, written as decimals
of the format's microseconds. The two ends of an arrow are events of their own, each after its slice; a slice that
names its arrow itself loses it where both begin at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson

from dagc.export.ranks import RankSelection
from dagc.export.trace.counters import GIGA, Counter
from dagc.export.trace.excerpt import Excerpt
from dagc.export.trace.parts import Process, trace_parts
from dagc.export.trace.slice_table import ABSENT, Column, SliceLabel, SliceLabels, SliceTable
from dagc.export.trace.tracks import Traced

_WORK = ("flops", "bytes")
"""Numbers of a slice that are the same in many places; the others say which place it is."""


def trace_json(traced: Traced, ranks: RankSelection | None = None, shown: Excerpt | None = None) -> Iterator[bytes]:
    """The trace in pieces; JSON when joined."""
    metadata: dict[str, str | int] = {"strategy": traced.plan.name, "gpus": traced.plan.deployment.gpus}
    if shown:
        metadata |= {"excerpt": shown.text, "slices": shown.written, "slices_of_all": shown.whole}
    yield b'{"displayTimeUnit":"ns","otherData":' + orjson.dumps(metadata) + b',"traceEvents":[\n'
    labels, separator = SliceLabels(), b""
    tails: list[bytes] = []
    for part in trace_parts(traced, ranks, labels, shown):
        match part:
            case Process():
                events = _names(part)
            case SliceTable():
                tails += [_tail(label) for label in list(labels.numbers)[len(tails) :]]
                events = _slices(part.whole, tails)
            case Counter():
                events = _counter(part)
        text = b",\n".join(events)
        if text:
            yield separator + text
            separator = b",\n"
    yield b"\n]}\n"


def _names(process: Process) -> Iterator[bytes]:
    yield _named("process_name", {"pid": process.pid}, {"name": process.name})
    yield _named("process_sort_index", {"pid": process.pid}, {"sort_index": process.pid})
    for tid, name in process.threads:
        where = {"pid": process.pid, "tid": tid}
        yield _named("thread_name", where, {"name": name})
        yield _named("thread_sort_index", where, {"sort_index": tid})


def _named(event: str, where: dict[str, int], args: dict[str, str | int]) -> bytes:
    return orjson.dumps({"ph": "M", "name": event, **where, "args": args})


def _tail(label: SliceLabel) -> bytes:
    """What all slices of a label share; further arguments of one slice follow it."""
    arguments = orjson.dumps(dict(label.arguments))[:-1]
    return b'"name":%b,"cat":"%b","args":%b' % (orjson.dumps(label.name), label.category.encode(), arguments)


def _slices(table: SliceTable, tails: list[bytes]) -> list[bytes]:
    """Events of slices, and those of arrows after theirs."""
    firsts = table.firsts
    rests = list(_rests(table, firsts, tails))
    which: list[int] = np.repeat(np.arange(firsts.size), np.diff(firsts, append=table.size)).tolist()
    heads, threads = _threads(table)
    events = [heads[thread] + rests[row] for thread, row in zip(threads, which, strict=True)]
    ends = np.flatnonzero(table["flow"])
    columns = (table[name][ends].tolist() for name in ("flow", "pid", "tid", "start"))
    for row, *arrow in zip(ends.tolist(), *columns, strict=True):
        events[row] += _arrow(*arrow)
    return events


def _threads(table: SliceTable) -> tuple[list[bytes], list[int]]:
    """The beginnings of events, one for each thread, and which of them each row has."""
    tids, first, which = np.unique(table["tid"], return_index=True, return_inverse=True)
    pairs = zip(table["pid"][first].tolist(), tids.tolist(), strict=True)
    return [b'{"ph":"X","pid":%d,"tid":%d,' % pair for pair in pairs], which.tolist()


def _rests(table: SliceTable, rows: Column, tails: list[bytes]) -> Iterator[bytes]:
    """Times, name, category and arguments of the events of some rows."""
    start, length = table["start"][rows], (table["end"] - table["start"])[rows]
    times = (column.tolist() for column in (start // 1000, start % 1000, length // 1000, length % 1000))
    for row in zip(*times, _arguments(table, rows, tails), strict=True):
        yield b'"ts":%d.%03d,"dur":%d.%03d,%b}}' % row


def _arguments(table: SliceTable, rows: Column, tails: list[bytes]) -> Iterator[bytes]:
    """Name, category and arguments of some rows: what is shared by a label, by a place, and by equal work."""
    places = _numbers(table, rows, [name for name in table.named if name not in _WORK])
    works = _numbers(table, rows, [name for name in table.named if name in _WORK])
    for label, place, work in zip(table["label"][rows].tolist(), places, works, strict=True):
        yield tails[label] + place + work


def _numbers(table: SliceTable, rows: Column, names: list[str]) -> list[bytes]:
    """Arguments that are numbers, of some rows; few differ, and each is written once."""
    if not names:
        return [b""] * rows.size
    columns: list[list[int]] = [table[name][rows].tolist() for name in names]
    known: dict[tuple[int, ...], bytes] = {}
    found: list[bytes] = []
    for row in zip(*columns, strict=True):
        if row not in known:
            pairs = zip(names, row, strict=True)
            known[row] = b"".join(b',"%b":%d' % (name.encode(), value) for name, value in pairs if value != ABSENT)
        found.append(known[row])
    return found


def _arrow(flow: int, pid: int, tid: int, start: int) -> bytes:
    """The event that follows a slice at which an arrow begins or ends."""
    end = b'"ph":"s"' if flow > 0 else b'"ph":"f","bp":"e"'
    fields = (end, abs(flow), pid, tid, start // 1000, start % 1000)
    return b',\n{%b,"id":%d,"name":"arrow","cat":"arrow","pid":%d,"tid":%d,"ts":%d.%03d}' % fields


def _counter(counter: Counter) -> Iterator[bytes]:
    name, key = orjson.dumps(counter.name), orjson.dumps(counter.key)
    for time, value in zip(counter.times.tolist(), counter.values.tolist(), strict=True):
        fields = (counter.pid, time // 1000, time % 1000, name, key, value // GIGA, value % GIGA)
        yield b'{"ph":"C","pid":%d,"ts":%d.%03d,"name":%b,"args":{%b:%d.%09d}}' % fields
