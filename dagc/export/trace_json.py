"""The timeline as a Chrome JSON trace, which Perfetto opens.

Turns the parts of a trace into events, one a line, a table at a time. Times are whole nanoseconds, written as decimals
of the format's microseconds. The two ends of an arrow are events of their own, each after its slice; a slice that
names its arrow itself loses it where both begin at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from dagc.export.counters import Counter
from dagc.export.labels import Label, Labels
from dagc.export.ranks import RankSelection
from dagc.export.slice_table import ABSENT, SliceTable
from dagc.export.trace_parts import Process, trace_parts
from dagc.export.tracks import Traced


def trace_json(traced: Traced, ranks: RankSelection | None = None) -> Iterator[bytes]:
    """The trace in pieces; JSON when joined."""
    told = {"strategy": traced.plan.name, "gpus": traced.plan.deployment.gpus}
    yield b'{"displayTimeUnit":"ns","otherData":' + orjson.dumps(told) + b',"traceEvents":[\n'
    labels, separator = Labels(), ""
    tails: list[str] = []
    for part in trace_parts(traced, ranks, labels):
        match part:
            case Process():
                events = list(_names(part))
            case SliceTable():
                tails += [_tail(label) for label in list(labels.numbers)[len(tails) :]]
                events = _slices(part, tails)
            case Counter():
                events = list(_counter(part))
        yield (separator + ",\n".join(events)).encode()
        separator = ",\n"
    yield b"\n]}\n"


def _names(process: Process) -> Iterator[str]:
    yield _named("process_name", {"pid": process.pid}, {"name": process.name})
    yield _named("process_sort_index", {"pid": process.pid}, {"sort_index": process.pid})
    for tid, name in process.threads:
        where = {"pid": process.pid, "tid": tid}
        yield _named("thread_name", where, {"name": name})
        yield _named("thread_sort_index", where, {"sort_index": tid})


def _named(event: str, where: dict[str, int], args: dict[str, str | int]) -> str:
    return orjson.dumps({"ph": "M", "name": event, **where, "args": args}).decode()


def _tail(label: Label) -> str:
    """What all slices of a label share; further arguments of one slice follow it."""
    arguments = orjson.dumps(dict(label.arguments)).decode()[:-1]
    return f'"name":{orjson.dumps(label.name).decode()},"cat":"{label.category}","args":{arguments}'


def _slices(table: SliceTable, tails: list[str]) -> list[str]:
    length = table["end"] - table["start"]
    times = (table["start"] // 1000, table["start"] % 1000, length // 1000, length % 1000)
    numbers = (column.tolist() for column in (table["pid"], table["tid"], *times))
    rows = zip(*numbers, _told(table, tails), table["flow"].tolist(), strict=True)
    return [
        '{"ph":"X","pid":%d,"tid":%d,"ts":%d.%03d,"dur":%d.%03d,%s}}' % row[:7]  # noqa: UP031  faster, for millions
        + (_arrow(row[7], *row[:4]) if row[7] else "")
        for row in rows
    ]


def _arrow(flow: int, pid: int, tid: int, micros: int, nanos: int) -> str:
    """The event that follows a slice at which an arrow begins or ends."""
    end = '"ph":"s"' if flow > 0 else '"ph":"f","bp":"e"'
    where = f'"pid":{pid},"tid":{tid},"ts":{micros}.{nanos:03}'
    return f',\n{{{end},"id":{abs(flow)},"name":"arrow","cat":"arrow",{where}}}'


def _told(table: SliceTable, tails: list[str]) -> Iterator[str]:
    """Name, category and arguments of each slice. Ranks that do the same say the same, so it is written once."""
    named = table.named
    known: dict[tuple[int, ...], str] = {}
    columns: list[list[int]] = [table[name].tolist() for name in ("label", *named)]
    for row in zip(*columns, strict=True):
        if row not in known:
            pairs = zip(named, row[1:], strict=True)
            known[row] = tails[row[0]] + "".join(f',"{name}":{value}' for name, value in pairs if value != ABSENT)
        yield known[row]


def _counter(counter: Counter) -> Iterator[str]:
    name, key = (orjson.dumps(text).decode() for text in (counter.name, counter.key))
    for time, value in zip(counter.times.tolist(), counter.values.tolist(), strict=True):
        when = f'"ts":{time // 1000}.{time % 1000:03}'
        yield f'{{"ph":"C","pid":{counter.pid},{when},"name":{name},"args":{{{key}:{value}}}}}'
