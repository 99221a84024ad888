"""Requests of a simulation as CSV: a row for each, in the order of arrival.

Times are seconds with twelve decimals, which is the picosecond of the simulation: exact, without binary fractions. All
rows of a chunk are written at once by numpy: each field is a matrix of bytes, right-aligned, and a mask of the bytes
that belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.simulate.load import LoadRun

COLUMNS = (
    "request", "arrival_s", "issued_s", "admitted_s", "first_token_s", "last_token_s",
    "prompt_tokens", "output_tokens", "hit_tokens", "ttft_s", "tpot_s", "e2e_s", "preemptions",
    "counted", "service", "replica", "rank",
)  # fmt: skip
"""`counted` is 1 where the figures of the run count the request. `service`, `replica` and `rank` (attention dp) are
where its last token was decoded.
"""

CHUNK = 1 << 16
"""Rows that are in memory at once."""

_DECIMALS = 12

_Bytes = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Field:
    """Bytes of a field, shape (rows, length), and which of them are written."""

    content: _Bytes
    kept: _Mask


def requests_csv(run: LoadRun) -> Iterator[bytes]:
    """The file in pieces: its head, then `CHUNK` rows at a time."""
    yield (",".join(COLUMNS) + "\n").encode()
    for first in range(0, len(run.requests), CHUNK):
        yield _rows(list(_fields(run, slice(first, min(first + CHUNK, len(run.requests))))))


def _fields(run: LoadRun, part: slice) -> Iterator[_Field]:
    requests, simulated = run.requests, run.simulated
    issued, first, last = (getattr(simulated, name)[part] for name in ("issued", "first", "last"))
    output = requests.output[part].astype(np.int64)
    gaps = np.maximum(output - 1, 1)
    service, replica, rank = run.places(part)
    number = np.arange(part.start, part.stop, dtype=np.int64)
    yield _whole(number)
    yield _seconds(requests.arrival[part])
    for times in (issued, simulated.admitted[part], first, last):
        yield _seconds(times)
    for tokens in (requests.prompt[part], output, requests.hit[part]):
        yield _whole(tokens.astype(np.int64))
    yield _seconds(first - issued)
    # To the nearest picosecond; a request of one token has no time between tokens.
    yield _seconds(np.where(output > 1, (last - first + gaps // 2) // gaps, -1))
    yield _seconds(last - issued)
    yield _whole(simulated.preempted[part].astype(np.int64))
    yield _whole(run.counted[part].astype(np.int64))
    yield _words([str(one.phase) for one in run.services], service)
    yield _whole(replica)
    yield _whole(rank)


def _whole(values: _Numbers) -> _Field:
    """Whole numbers from 0, without leading zeros."""
    digits = _digits(values, len(str(int(values.max(initial=0)))))
    kept = np.logical_or.accumulate(digits > ord("0"), axis=1)
    kept[:, -1] = True
    return _Field(digits, kept)


def _seconds(picoseconds: _Numbers) -> _Field:
    """Picoseconds as seconds; nothing where they are below 0."""
    whole, rest = np.divmod(np.maximum(picoseconds, 0), 10**_DECIMALS)
    seconds = _whole(whole)
    point = np.full((len(whole), 1), ord("."), dtype=np.uint8)
    content = np.hstack([seconds.content, point, _digits(rest, _DECIMALS)])
    kept = np.ones_like(content, dtype=np.bool_)
    kept[:, : seconds.kept.shape[1]] = seconds.kept
    return _Field(content, kept & (picoseconds >= 0)[:, None])


def _words(words: Sequence[str], which: _Numbers) -> _Field:
    """One of some words for each row."""
    longest = max(map(len, words))
    table = np.frombuffer("".join(word.rjust(longest) for word in words).encode(), dtype=np.uint8)
    content = table.reshape(len(words), longest)[which]
    return _Field(content, content != ord(" "))


def _digits(values: _Numbers, count: int) -> _Bytes:
    """The last so many decimal digits of whole numbers, shape (rows, count)."""
    found = np.empty((len(values), count), dtype=np.uint8)
    rest = values
    for place in reversed(range(count)):
        above = rest // 10
        found[:, place] = rest - 10 * above + ord("0")
        rest = above
    return found


def _rows(fields: Sequence[_Field]) -> bytes:
    """Fields side by side, with commas between them and a line feed after the last."""
    rows = len(fields[0].content)
    width = sum(one.content.shape[1] + 1 for one in fields)
    content, kept = np.full((rows, width), ord(","), dtype=np.uint8), np.ones((rows, width), dtype=np.bool_)
    at = 0
    for one in fields:
        columns = slice(at, at + one.content.shape[1])
        content[:, columns], kept[:, columns] = one.content, one.kept
        at = columns.stop + 1
    content[:, -1] = ord("\n")
    return content[kept].tobytes()
