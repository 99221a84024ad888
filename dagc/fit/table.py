"""A CSV of measurements becomes the rows of each regime, or diagnostics with the line that is wrong.

The output of nccl-tests (NVIDIA/nccl-tests, RCCL's alike) becomes rows of a table of measurements.

Read are the name after `Collective test starting:` (without it, in a file's name), one line a rank (`# Rank 0 … on HOST
device …`; ranks of one host share a node), and of each row of figures the size in bytes and the time out of place, in
microseconds. A size is that of the formulas: the whole result of an all-gather, the whole input of a reduce-scatter,
what one rank sends in an all-to-all. Other lines are passed over, such as those of `mpirun` and of NCCL's log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dagc.catalog.cases import table_reader
from dagc.catalog.dtype import Dtype
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import asked, meant
from dagc.fit.fit import FEWEST, Measured
from dagc.fit.operators import ARITHMETIC, KNOWN, FittedOperator
from dagc.source import Source, Span

BAD_TABLE = Code("X401", "bad-measurements")

_ALWAYS = ("operator", "seconds")


_MINIMUM, _MOST = 1e-12, 1e15
"""What seconds, bytes and elements of a measurement lie between; sums, products and ratios of them are numbers."""


@dataclass(frozen=True, slots=True)
class _Row:
    operator: str
    dtype: str
    seconds: float
    source: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MeasurementTable:
    """What was measured, by regime, and the type whose peak holds for each."""

    regimes: dict[str, Measured]
    peaks: dict[str, Dtype]


def read_table(source: Source) -> tuple[MeasurementTable, tuple[Diagnostic, ...]]:
    """The rows of a file by regime. Rows that cannot be read are diagnostics; nothing is guessed."""
    if is_nccl_tests(source.text):
        found: list[Diagnostic] = []
        tested = [(_span(source, number), line) for number, line in nccl_rows(source.text, source.name)]
        read = [row for place, line in tested if (row := _row(line, place, found))]
        return _grouped(source, read, found), tuple(found)
    reader = table_reader(source.text)
    missing = [name for name in _ALWAYS if name not in (reader.fieldnames or ())]
    if missing:
        return MeasurementTable({}, {}), (_without(source, missing),)
    found = list[Diagnostic]()
    rows = [row for line in reader if (row := _row(line, _span(source, reader.line_num), found))]
    return _grouped(source, rows, found), tuple(found)


def _without(source: Source, missing: Sequence[str]) -> Diagnostic:
    columns = " and ".join(f"`{name}`" for name in missing)
    message = f"a table of measurements needs a column {columns}"
    place = _span(source, 1) if source.text else None
    return BAD_TABLE.at(place, message, "the columns", help=("name the columns in the first line",))


def _span(source: Source, line: int) -> Span:
    start = source.line_starts[min(line, len(source.line_starts)) - 1]
    return source.span(start, start + len(source.line(min(line, len(source.line_starts)))))


def _row(line: dict[str, str | None], place: Span, found: list[Diagnostic]) -> _Row | None:
    name = (line.get("operator") or "").strip()
    operator, dtype = KNOWN.get(name), (line.get("dtype") or "bf16").strip()
    if operator is None:
        found.append(_unknown(place, "operator", name, tuple(KNOWN)))
        return None
    if dtype not in ARITHMETIC:
        found.append(_unknown(place, "dtype", dtype, tuple(ARITHMETIC)))
        return None
    columns = (*operator.needed, *operator.defaults)
    numbers = [_number(column, line.get(column), operator.defaults.get(column)) for column in ("seconds", *columns)]
    wrong = [column for column, value in zip(("seconds", *columns), numbers, strict=True) if value is None]
    if wrong:
        found.append(_bad_number(place, name, wrong))
        return None
    seconds, *values = (value for value in numbers if value is not None)
    of = dict(zip(columns, values, strict=True))
    if "ranks" in of and not _is_group(of["ranks"], of["nodes"], 1 if operator.inside_a_node else _MOST):
        found.append(_no_group(place, name, of["ranks"], of["nodes"]))
        return None
    return _Row(name, dtype, seconds, (line.get("source") or "").strip(), tuple(values))


def _number(column: str, text: str | None, default: float | None) -> float | None:
    """A positive number within `_LEAST` and `_MOST` (`cast` may be 0), or None."""
    if not (text or "").strip():
        return default
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if _MINIMUM <= value <= _MOST or (value == 0 and column == "cast") else None


def _is_group(ranks: float, nodes: float, most: float) -> bool:
    """Whether there is a process group of so many ranks, the same number on each of at most `most` nodes."""
    return ranks >= 2 and 1 <= nodes <= most and ranks % nodes == 0 and ranks.is_integer() and nodes.is_integer()


def _unknown(place: Span, column: str, text: str, known: tuple[str, ...]) -> Diagnostic:
    advice = asked(meant(text, known)) or (f"one of {', '.join(known)}",)
    return BAD_TABLE.at(place, f"`{text}` is not a known {column}", "in this row", help=advice)


def _bad_number(place: Span, operator: str, wrong: Sequence[str]) -> Diagnostic:
    needed = ", ".join(KNOWN[operator].needed)
    columns = " and ".join(f"`{name}`" for name in wrong)
    what = "is not a positive number" if len(wrong) == 1 else "are not positive numbers"
    message = f"{columns} of a `{operator}` {what} from {_MINIMUM:g} to {_MOST:g}"
    return BAD_TABLE.at(place, message, "in this row", help=(f"`{operator}` has seconds and {needed}",))


def _no_group(place: Span, operator: str, ranks: float, nodes: float) -> Diagnostic:
    message = f"`{operator}` between {ranks:g} ranks on {nodes:g} nodes is not possible"
    limit = ", here one node," if KNOWN[operator].inside_a_node else ""
    help = (f"state two or more `ranks`, and `nodes`{limit} that divide them",)
    return BAD_TABLE.at(place, message, "in this row", help=help)


def _grouped(source: Source, rows: list[_Row], found: list[Diagnostic]) -> MeasurementTable:
    groups: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        groups.setdefault((row.operator, row.dtype if KNOWN[row.operator].by_type else ""), []).append(row)
    table = MeasurementTable({}, {})
    for (name, _), members in sorted(groups.items()):
        operator, dtype = KNOWN[name], members[0].dtype
        regime = operator.regime(dtype)
        if len(members) < FEWEST:
            found.append(_few(source, regime, len(members)))
            continue
        table.regimes.setdefault(regime, _measured(operator, members, source.name))
        table.peaks[regime] = ARITHMETIC[dtype].peak
    return table


def _few(source: Source, regime: str, count: int) -> Diagnostic:
    rows = "one row" if count == 1 else f"{count} rows"
    message = f"{rows} of `{regime}` cannot be fitted: at least {FEWEST} are needed"
    return BAD_TABLE.at(_span(source, 1), message, "this table", help=(f"measure more shapes of `{regime}`",))


def _measured(operator: FittedOperator, rows: list[_Row], name: str) -> Measured:
    columns = (*operator.needed, *operator.defaults)
    values = {column: np.array([row.values[i] for row in rows]) for i, column in enumerate(columns)}
    inputs = operator.inputs(values, ARITHMETIC[rows[0].dtype])
    sources = sorted({row.source for row in rows if row.source})
    return Measured(operator.formula, inputs, np.array([row.seconds for row in rows]), "; ".join(sources) or name)


NAMES = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "sendrecv": "send",
}
"""Tests of nccl-tests, without `_perf`, and the operators of the table."""

_RANK = re.compile(r"#\s*Rank\s+\d+\b.*?\bon\s+(\S+)\s+device\b")
_TEST = re.compile(r"(all_reduce|all_gather|reduce_scatter|alltoall|sendrecv)(?:_perf)?", re.IGNORECASE)
_FIGURES = re.compile(r"^\s*(\d+)\s+\d+\s+\S+\s+\S+\s+-?\d+\s+(\d+(?:\.\d*)?)\s+[\d.]+\s+[\d.]+\s")
"""Size, count, type, reduction, root, time, and the two bandwidths."""


def is_nccl_tests(text: str) -> bool:
    """Whether a text has the head of nccl-tests' table of figures."""
    return bool(re.search(r"^#.*\balgbw\s+busbw\b", text, re.MULTILINE))


def nccl_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line number and columns of each measurement; the file's `name` has the collective where no line does."""
    header = re.search(r"Collective test starting:\s*(\S+)", text)
    found = _TEST.search(header.group(1) if header else name)
    operator = NAMES[found.group(1).lower()] if found else ""
    hosts = _RANK.findall(text)
    shape = {"ranks": str(len(hosts)), "nodes": str(len(set(hosts)))}
    for number, line in enumerate(text.splitlines(), start=1):
        figures = _FIGURES.match(line)
        if figures and int(figures.group(1)):
            seconds = str(float(figures.group(2)) / 1e6)
            yield number, {"operator": operator, "bytes": figures.group(1), "seconds": seconds, **shape}
