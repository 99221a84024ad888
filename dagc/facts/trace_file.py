"""Trace files of requests: arrival times, prompt lengths and output lengths, from CSV or from JSON lines.

| form | arrival | prompt | output |
|---|---|---|---|
| CSV | `arrival`, seconds | `prompt`, tokens | `output`, tokens |
| CSV of the Azure LLM inference traces | `TIMESTAMP`, date and time | `ContextTokens` | `GeneratedTokens` |
| JSON lines of the Mooncake traces | `timestamp`, milliseconds | `input_length` | `output_length` |

The first line of CSV names the columns, in any order; other columns and keys (`hash_ids`) are left out. Arrivals count
from the first one. What is not sorted, not a number, negative or zero where tokens are counted is refused with its
line. Columns are read and judged as arrays; lines are looked at one by one only to name a wrong one.

Azure: Patel et al., "Splitwise", ISCA 2024, github.com/Azure/AzurePublicDataset. Mooncake: Qin et al., FAST 2025,
github.com/kvcache-ai/Mooncake.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.workload import RequestTrace
from dagc.source import Span, read_file

UNREADABLE = Code("N161", "trace-unreadable")
BAD_ROW = Code("N162", "trace-row")
TOO_DENSE = Code("N163", "trace-too-dense")

MOST_BYTES = 1 << 28
MOST_ROWS = 5_000_000
MOST_TOKENS = 10**8

MOST_IN_A_SECOND = 100_000
"""Arrivals within one second that a deployment can be asked to take: no front end accepts more, and more are times in
another unit."""

_PICOSECONDS = 10**12
_PART = 10_000
_LONGEST = 10**6
"""Seconds, 11 days: whole picoseconds of it, and of sums with it, fit into 64 bits."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Names of the columns of one form, and seconds a unit of its times; None where they are dates."""

    arrival: str
    prompt: str
    output: str
    seconds: float | None

    @property
    def columns(self) -> tuple[str, str, str]:
        return self.arrival, self.prompt, self.output


_PLAIN = _Form("arrival", "prompt", "output", 1.0)
_AZURE = _Form("TIMESTAMP", "ContextTokens", "GeneratedTokens", None)
_MOONCAKE = _Form("timestamp", "input_length", "output_length", 1e-3)
_COLUMNS = "a CSV file begins with the line `arrival,prompt,output` (seconds, tokens, tokens)"

_Times = npt.NDArray[np.float64] | npt.NDArray[np.datetime64]
_Columns = tuple[_Times, npt.NDArray[np.float64], npt.NDArray[np.float64]]


class _RefusedError(Exception):
    """A diagnostic on its way to the caller of `read_trace`."""

    def __init__(self, code: Code, message: str, help: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


def read_trace(path: Path, name: str, place: Span, has_arrivals: bool = True) -> RequestTrace | Diagnostic:
    """The requests of a file, or N161 to N163; `name` is its name in the plan, `place` where the plan names it.

    Without `has_arrivals` only lengths are read, and the file needs no column of times.
    """
    try:
        content = read_file(path, MOST_BYTES)
        return _read(content, name, has_arrivals)
    except _RefusedError as refused:
        return refused.code.at(place, f"`{name}`{refused.message}", "this file", help=(refused.help,))
    except OSError as reason:
        message = f"cannot read `{name}`: {reason.strerror or reason}"
        return UNREADABLE.at(place, message, "this file", help=("name a CSV file, or JSON lines, beside the plan",))


def _read(content: bytes, name: str, has_arrivals: bool) -> RequestTrace:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as wrong:
        raise _RefusedError(UNREADABLE, f" is no text: byte {wrong.start:,} is not UTF-8", _COLUMNS) from None
    numbers = [number for number, line in enumerate(lines, start=1) if line and not line.isspace()]
    if len(numbers) < len(lines):
        lines = [lines[number - 1] for number in numbers]
    if not lines:
        raise _RefusedError(UNREADABLE, " is empty", _COLUMNS)
    is_json = lines[0].lstrip().startswith("{")
    rows, numbers = (lines, numbers) if is_json else (lines[1:], numbers[1:])
    if not rows:
        raise _RefusedError(UNREADABLE, " has no request, only a line of columns", "add a line for each request")
    if len(rows) > MOST_ROWS:
        message = f" has {len(rows):,} requests, more than {MOST_ROWS:,}"
        raise _RefusedError(UNREADABLE, message, "keep a part of it: `requests` repeats a shorter trace")
    form, columns = _json_columns(rows, numbers) if is_json else _csv_columns(lines[0], rows, numbers, has_arrivals)
    _check_lengths(form, columns, numbers)
    arrival = _picoseconds(form, columns[0], numbers) if has_arrivals else np.zeros(len(rows), np.int64)
    prompt, output = (column.astype(np.int32) for column in columns[1:])
    return RequestTrace(name, hashlib.sha256(content).hexdigest(), arrival, prompt, output, is_json, np.array(numbers))


def _csv_columns(
    header: str, rows: Sequence[str], numbers: Sequence[int], has_arrivals: bool
) -> tuple[_Form, _Columns]:
    names = [name.strip().strip('"') for name in header.split(",")]
    wanted = {form: form.columns if has_arrivals else form.columns[1:] for form in (_PLAIN, _AZURE)}
    form = next((form for form, columns in wanted.items() if set(columns) <= set(names)), None)
    if form is None:
        known = " or ".join(f"`{','.join(columns)}`" for columns in wanted.values())
        shown = header if len(header) <= 60 else f"{header[:60]}…"
        raise _RefusedError(UNREADABLE, f" has the columns `{shown}`, not {known}", _COLUMNS)
    places = [names.index(column) for column in wanted[form]]
    first = "S40" if form.seconds is None else "f8"
    kinds = [("arrival", first)] * has_arrivals + [("prompt", "f8"), ("output", "f8")]
    try:
        table = np.loadtxt(rows, dtype=kinds, delimiter=",", usecols=places, comments=None, quotechar='"', ndmin=1)
        lengths = table["prompt"], table["output"]
        arrival = lengths[0] if not has_arrivals else _times(table["arrival"], form)
    except ValueError:
        readers = [_date if form.seconds is None else float] * has_arrivals + [float, float]
        raise _wrong_cell(rows, numbers, wanted[form], places, readers) from None
    return form, (arrival, *lengths)


def _times(column: npt.NDArray[Any], form: _Form) -> _Times:
    """Times as written, or dates; ValueError for what is no date. All dates are of one zone, so that it is left out."""
    if form.seconds is not None:
        return column
    if b"" in column:
        raise ValueError
    return (
        np.char.partition(column, b"+")[:, 0].astype("datetime64[ns]")
        if b"+" in column[0]
        else column.astype("datetime64[ns]")
    )


def _date(text: str) -> float:
    np.datetime64(text.strip().strip('"').partition("+")[0], "ns").astype(np.int64)
    if not text.strip():
        raise ValueError
    return 0.0


def _wrong_cell(
    rows: Sequence[str],
    numbers: Sequence[int],
    columns: Sequence[str],
    places: Sequence[int],
    readers: Sequence[Callable[[str], float]],
) -> _RefusedError:
    """The first value that cannot be read."""
    for number, row in zip(numbers, rows, strict=True):
        cells = row.split(",")
        for column, place, reader in zip(columns, places, readers, strict=True):
            text = cells[place].strip().strip('"') if place < len(cells) else ""
            try:
                reader(text)
            except ValueError:
                return _missing(number, column, text)
    return _RefusedError(UNREADABLE, " has lines that cannot be read as CSV", _COLUMNS)


def _missing(number: int, column: str, text: str) -> _RefusedError:
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    what = f"is no number: `{shown}`" if text else "is missing"
    return _RefusedError(BAD_ROW, f", line {number:,}: `{column}` {what}", "correct the line, or leave it out")


def _json_columns(rows: Sequence[str], numbers: Sequence[int]) -> tuple[_Form, _Columns]:
    # Some thousand lines at a time: the garbage collector walks over all objects that are held.
    parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
    try:
        arrival, prompt, output = np.concatenate([_numbers_of(part) for part in parts], axis=1)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise _wrong_object(rows, numbers) from None
    return _MOONCAKE, (arrival, prompt, output)


def _numbers_of(rows: Sequence[str]) -> npt.NDArray[np.float64]:
    """The three numbers of each line, in shape (3, lines)."""
    found = cast("list[dict[str, Any]]", json.loads(f"[{','.join(rows)}]"))
    columns = [[row[name] for row in found] for name in _MOONCAKE.columns]
    kinds = {kind for column in columns for kind in set(map(type, column))}
    if len(found) != len(rows) or not kinds <= {int, float}:
        raise ValueError
    return np.array(columns, np.float64)


def _wrong_object(rows: Sequence[str], numbers: Sequence[int]) -> _RefusedError:
    """The first line that is no object with three numbers."""
    for number, row in zip(numbers, rows, strict=True):
        try:
            found: Any = json.loads(row)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            help = 'each line is `{"timestamp": 0, "input_length": 1024, "output_length": 128}`'
            return _RefusedError(BAD_ROW, f", line {number:,}: it is no JSON object", help)
        values = cast("dict[str, Any]", found)
        for name in _MOONCAKE.columns:
            value = values.get(name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or abs(cast("float", value)) > 1e300:
                return _missing(number, name, "" if value is None else str(value))
    return _RefusedError(UNREADABLE, " has lines that cannot be read as JSON", "write one JSON object a line")


def _check_lengths(form: _Form, columns: _Columns, numbers: Sequence[int]) -> None:
    for name, column in zip(form.columns[1:], columns[1:], strict=True):
        is_wrong = ~((column >= 1) & (column <= MOST_TOKENS) & (column == np.floor(column)))
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise _RefusedError(
                BAD_ROW,
                f", line {numbers[row]:,}: `{name}` is {column[row]:g}, not a whole number from 1 to {MOST_TOKENS:,}",
                "every request has at least one prompt token and one output token: leave the line out",
            )


def _picoseconds(form: _Form, times: _Times, numbers: Sequence[int]) -> npt.NDArray[np.int64]:
    """Arrivals from the first one on, in picoseconds."""
    if form.seconds is None:
        nanoseconds = times.astype(np.int64)
        if np.isnat(times).any():
            raise _missing(numbers[int(np.isnat(times).argmax())], form.arrival, "")
        seconds = (nanoseconds - nanoseconds[0]) * 1e-9
        picoseconds = (nanoseconds - nanoseconds[0]) * 1000
    else:
        numbers_of = times.astype(np.float64)
        is_wrong = ~((numbers_of >= 0) & np.isfinite(numbers_of))
        if is_wrong.any():
            row = int(is_wrong.argmax())
            message = f", line {numbers[row]:,}: `{form.arrival}` is {numbers_of[row]:g}, not a time from 0 on"
            raise _RefusedError(BAD_ROW, message, "count times from the start of the trace")
        seconds = (numbers_of - numbers_of[0]) * form.seconds
        clipped: npt.NDArray[np.float64] = np.clip(seconds, -1.0, _LONGEST)
        picoseconds = np.rint(clipped * _PICOSECONDS).astype(np.int64)
    _check_order(form, seconds, numbers)
    return picoseconds


def _check_order(form: _Form, seconds: npt.NDArray[np.float64], numbers: Sequence[int]) -> None:
    falls = np.diff(seconds) < 0
    if falls.any():
        row = int(falls.argmax()) + 1
        message = f", line {numbers[row]:,}: `{form.arrival}` is earlier than in line {numbers[row - 1]:,}"
        raise _RefusedError(BAD_ROW, message, f"sort the lines by `{form.arrival}`")
    if seconds[-1] > _LONGEST:
        message = f" lasts {seconds[-1]:g} s, longer than {_LONGEST:,} s"
        raise _RefusedError(UNREADABLE, message, _unit(form))
    within = np.searchsorted(seconds, seconds + 1.0) - np.arange(len(seconds))
    most = int(within.max())
    if most > MOST_IN_A_SECOND:
        message = (
            f", line {numbers[int(within.argmax())]:,}: {most:,} requests arrive within one second, "
            f"more than {MOST_IN_A_SECOND:,}"
        )
        raise _RefusedError(TOO_DENSE, message, _unit(form))


def _unit(form: _Form) -> str:
    unit = {1.0: "seconds", 1e-3: "milliseconds"}.get(form.seconds or math.nan, "dates")
    return f"`{form.arrival}` is read as {unit}: write it in that unit, or keep a part of the trace"
