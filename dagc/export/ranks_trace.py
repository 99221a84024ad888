"""A Chrome JSON trace of many slices: streamed, with little on each.

Turns tables of slices into text, a table at a time. A slice has its name, category, micro-batch and layer; the
arithmetic behind it is in `graph.json` and in the default trace, and arrows are only in the latter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import orjson

from dagc.export.ranks import RankSelection
from dagc.export.slices import Column, Names, SliceTable, slice_tables
from dagc.export.tracks import LANES, PhaseTracks, Traced, tracks

_Bytes = npt.NDArray[np.uint8]
_SPACE, _ZERO = b" 0"


def ranks_trace(traced: Traced, ranks: RankSelection | None) -> Iterator[bytes]:
    """The trace in pieces; JSON when joined."""
    phases = [phase for phase in tracks(traced, ranks) if phase.is_shown]
    told = {"strategy": traced.plan.name, "gpus": traced.plan.deployment.gpus}
    yield b'{"displayTimeUnit":"ns","otherData":' + orjson.dumps(told) + b',"traceEvents":[\n'
    separator = b""
    for phase in phases:
        yield separator + b",\n".join(_names(phase))
        separator = b",\n"
    names = Names()
    for table in slice_tables(phases, names):
        yield separator + _events(table, names)
        separator = b",\n"
    yield b"\n]}\n"


def _names(phase: PhaseTracks) -> Iterator[bytes]:
    for team in phase.teams:
        if not team.local.size:
            continue
        yield _named("process_name", {"pid": team.pid}, {"name": team.name})
        yield _named("process_sort_index", {"pid": team.pid}, {"sort_index": team.pid})
        for index, title in enumerate(team.titles):
            for number, lane in enumerate(LANES):
                tid = team.first_thread + len(LANES) * index + number
                where = {"pid": team.pid, "tid": tid}
                yield _named("thread_name", where, {"name": f"{title} · {lane.value}"})
                yield _named("thread_sort_index", where, {"sort_index": tid})


def _named(event: str, where: dict[str, int], args: dict[str, str | int]) -> bytes:
    return orjson.dumps({"ph": "M", "name": event, **where, "args": args})


def _events(table: SliceTable, names: Names) -> bytes:
    """One event a line, all of a table written at once: numbers and names are padded with spaces to one length."""
    tails = [
        f'"name":{orjson.dumps(key).decode()},"cat":"{category}","args":{{"micro_batch":'.encode()
        for key, category in names.numbers
    ]
    length = max(map(len, tails))
    of_name = np.frombuffer(b"".join(tail.ljust(length) for tail in tails), dtype=np.uint8).reshape(-1, length)
    layer = np.concatenate((_text(b',"layer":', table.layer.size), _digits(np.maximum(table.layer, 0))), axis=1)
    layer[table.layer < 0] = _SPACE
    parts = (
        b'{"ph":"X","pid":', _digits(table.pid), b',"tid":', _digits(table.tid),
        b',"ts":', *_microseconds(table.start), b',"dur":', *_microseconds(table.end - table.start),
        b",", of_name[table.name], _digits(table.micro_batch), layer, b"}},\n",
    )  # fmt: skip
    lines = [_text(part, table.pid.size) if isinstance(part, bytes) else part for part in parts]
    return np.concatenate(lines, axis=1).tobytes()[: -len(",\n")]


def _text(text: bytes, rows: int) -> _Bytes:
    return np.broadcast_to(np.frombuffer(text, dtype=np.uint8), (rows, len(text)))


def _microseconds(nanoseconds: Column) -> tuple[_Bytes, bytes, _Bytes]:
    """Exact decimals: `12.345` for 12,345 ns."""
    return _digits(nanoseconds // 1000), b".", _digits(nanoseconds % 1000, 3)


def _digits(values: Column, zeros: int = 1) -> _Bytes:
    """Decimal digits of numbers, shape (values, digits of the largest), padded with spaces down to `zeros` digits."""
    length = max(zeros, len(str(int(values.max()))))
    digits = np.empty((values.size, length), dtype=np.uint8)
    rest = values
    for place in range(length):
        shorter = rest // 10
        digit = rest - 10 * shorter + _ZERO
        digits[:, length - 1 - place] = digit if place < zeros else np.where(rest > 0, digit, _SPACE)
        rest = shorter
    return digits
