"""The ledger: measured cases beside what the cost model says of them, with the signed error of each.

An error is predicted / measured - 1. A kind is summed up by the median and the mean of the sizes of its errors, and by
its bias, the median of the errors with their signs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean, median
from typing import Any

from dagc.catalog.cases import Case
from dagc.units import Dimension, format_bytes, format_rate, format_seconds, lookup

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A case and its prediction in the same unit; None where the case could not be priced."""

    case: Case
    predicted: float | None

    @property
    def error(self) -> float | None:
        """The signed error as a share of what was measured."""
        return None if self.predicted is None else self.predicted / self.case.measured - 1


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The errors of a kind: medians and mean are None where no case was answered."""

    kind: str
    cases: int
    answered: int
    median: float | None
    mean: float | None
    bias: float | None


def aggregates(entries: Sequence[Entry]) -> tuple[Aggregate, ...]:
    """One for each kind, in the order of the entries."""
    return tuple(_aggregate(kind, tuple(group)) for kind, group in groupby(entries, key=lambda one: one.case.kind))


def _aggregate(kind: str, entries: Sequence[Entry]) -> Aggregate:
    errors = [one.error for one in entries if one.error is not None]
    sizes = [abs(error) for error in errors]
    if not errors:
        return Aggregate(kind, len(entries), 0, None, None, None)
    return Aggregate(kind, len(entries), len(errors), median(sizes), mean(sizes), median(errors))


def render_text(entries: Sequence[Entry]) -> str:
    """The kinds, then every case, as aligned columns."""
    return "\n".join([*_columns(_kind_rows(entries)), "", *_columns([_HEAD, *map(_row, entries)])]) + "\n"


def render_page(entries: Sequence[Entry]) -> str:
    """The same as Markdown."""
    return "\n".join([_INTRODUCTION, *_table(_kind_rows(entries)), "", *_sections(entries)]) + "\n"


def document(entries: Sequence[Entry]) -> dict[str, Any]:
    """The same as data, in SI units."""
    kinds = [
        {
            "kind": one.kind,
            "cases": one.cases,
            "answered": one.answered,
            "median_absolute_error": one.median,
            "mean_absolute_error": one.mean,
            "bias": one.bias,
        }
        for one in aggregates(entries)
    ]
    return {"schema_version": SCHEMA_VERSION, "kinds": kinds, "cases": list(map(_data, entries))}


def _data(entry: Entry) -> dict[str, Any]:
    case = entry.case
    return {
        "id": case.id,
        "kind": case.kind,
        "metric": case.metric,
        "measured": case.measured,
        "predicted": entry.predicted,
        "error": entry.error,
        "plan": case.plan,
        "source": case.source,
        "licence": case.licence,
        "note": case.note,
    }


_INTRODUCTION = """\
# Measured cases

What the cost model says of cases that others measured: `dagc validate` prints the same. An error is predicted /
measured - 1; of a kind the table shows the median and the mean of its size, and the bias, which is the median with its
sign. Each case is a plan, in `dagc/catalog/measured/cases.csv`, with its source.
"""

_HEAD = ("case", "metric", "measured", "predicted", "error", "source")


def _kind_rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    head = ("kind", "cases", "median", "mean", "bias")
    return [head, *(_kind_row(one) for one in aggregates(entries))]


def _kind_row(one: Aggregate) -> tuple[str, ...]:
    cases = str(one.cases) if one.cases == one.answered else f"{one.answered} of {one.cases}"
    return (one.kind, cases, _share(one.median), _share(one.mean), _share(one.bias, signed=True))


def _share(value: float | None, signed: bool = False) -> str:
    return "?" if value is None else f"{value * 100:+.1f} %" if signed else f"{value * 100:.1f} %"


def _row(entry: Entry) -> tuple[str, ...]:
    case = entry.case
    return (case.id, case.metric, case.text, _predicted(entry), _share(entry.error, signed=True), case.source)


def _predicted(entry: Entry) -> str:
    unit = lookup(entry.case.text.partition(" ")[2])
    if entry.predicted is None or unit is None:
        return "?"
    match unit.dimension:
        case Dimension.SECONDS:
            return format_seconds(entry.predicted)
        case Dimension.BYTES:
            return format_bytes(entry.predicted)
        case _:
            return format_rate(entry.predicted)


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
        if number == 0:
            yield "|" + "---|" * len(row)


def _sections(entries: Sequence[Entry]) -> Iterator[str]:
    for kind, group in groupby(entries, key=lambda one: one.case.kind):
        yield from (f"## {kind}", "", *_table([_HEAD, *map(_row, group)]), "")
