"""The ledger: measured cases beside what the cost model says of them, with the signed error of each.

An error is predicted / measured - 1. A kind is summed up by the median and the mean of the sizes of its errors, and by
its bias, the median of the errors with their signs, over the cases to which nothing was fitted.
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
    """A case and its prediction in the same unit; None where the case could not be priced.

    `band` is the relative error that is stated with the prediction; only phases and requests have one.
    """

    case: Case
    predicted: float | None
    band: float | None = None

    @property
    def error(self) -> float | None:
        """The signed error as a share of what was measured."""
        return None if self.predicted is None else self.predicted / self.case.measured - 1


def inside(entries: Sequence[Entry], times: float = 1.0) -> float | None:
    """Share of the cases with a band, and nothing fitted to them, that lie inside so many times of it."""
    banded = [(one.error, one.band) for one in entries if not one.case.fitted and one.band is not None]
    known = [abs(error) <= times * band for error, band in banded if error is not None]
    return mean(known) if known else None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The errors of a kind: medians and mean are of cases to which nothing was fitted, None where none was answered.

    `median_fitted` is that of the others, `inside` the share within the stated interval; None where none has one.
    """

    kind: str
    cases: int
    answered: int
    unseen: int
    median: float | None
    mean: float | None
    bias: float | None
    median_fitted: float | None
    inside: float | None


def aggregates(entries: Sequence[Entry]) -> tuple[Aggregate, ...]:
    """One for each kind, in the order of the entries."""
    return tuple(_aggregate(kind, tuple(group)) for kind, group in groupby(entries, key=lambda one: one.case.kind))


def _aggregate(kind: str, entries: Sequence[Entry]) -> Aggregate:
    known = [(one.error, one.case.fitted) for one in entries if one.error is not None]
    errors = [error for error, is_fitted in known if not is_fitted]
    sizes, seen = [abs(error) for error in errors], [abs(error) for error, is_fitted in known if is_fitted]
    return Aggregate(
        kind,
        len(entries),
        len(known),
        len(errors),
        median(sizes) if sizes else None,
        mean(sizes) if sizes else None,
        median(errors) if errors else None,
        median(seen) if seen else None,
        inside(entries),
    )


def render_text(entries: Sequence[Entry]) -> str:
    """The kinds, then every case, as aligned columns."""
    return (
        "\n".join(
            [
                _count(entries),
                "",
                *_columns(_kind_rows(entries)),
                *_bands(entries),
                "",
                *_columns([_HEAD, *map(_row, entries)]),
            ]
        )
        + "\n"
    )


def _count(entries: Sequence[Entry]) -> str:
    """How many cases there are, and the median error of those that no coefficient was fitted to."""
    errors = [abs(one.error) for one in entries if one.error is not None and not one.case.fitted]
    cases = (
        f"{len(entries):,} measured {'case' if len(entries) == 1 else 'cases'}, {len(errors):,} of them not in a fit"
    )
    return f"{cases}: median error {_share(median(errors))}" if errors else cases


def render_page(entries: Sequence[Entry]) -> str:
    """The same as Markdown."""
    return "\n".join([_INTRODUCTION, *_table(_kind_rows(entries)), *_bands(entries), "", *_sections(entries)]) + "\n"


def document(entries: Sequence[Entry]) -> dict[str, Any]:
    """The same as data, in SI units."""
    kinds = [
        {
            "kind": one.kind,
            "cases": one.cases,
            "answered": one.answered,
            "not_in_a_fit": one.unseen,
            "median_absolute_error": one.median,
            "mean_absolute_error": one.mean,
            "bias": one.bias,
            "median_absolute_error_in_a_fit": one.median_fitted,
            "inside_band": one.inside,
        }
        for one in aggregates(entries)
    ]
    shares = {"inside_band": inside(entries), "inside_twice_the_band": inside(entries, 2.0)}
    return {"schema_version": SCHEMA_VERSION, "kinds": kinds, **shares, "cases": list(map(_data, entries))}


def _data(entry: Entry) -> dict[str, Any]:
    case = entry.case
    return {
        "id": case.id,
        "kind": case.kind,
        "metric": case.metric,
        "measured": case.measured,
        "predicted": entry.predicted,
        "error": entry.error,
        "band": entry.band,
        "plan": case.plan,
        "source": case.source,
        "licence": case.licence,
        "in_a_fit": case.fitted,
        "note": case.note,
    }


_INTRODUCTION = """\
# Measured cases

Predictions of the cost model for published measurements, as `dagc validate` prints them. An error is predicted /
measured - 1; of a kind the table shows the median and the mean of its size, the bias, which is the median with its
sign, and the share within the stated interval, over the cases to which no coefficient was fitted. The last column is
the median of the others, which say `fit` below: rows of a table that a fit used, or serving runs of the half that it
used. Each case is a plan, in `dagc/catalog/measured/cases.csv`, with its source.

The band of a phase, `±` in what `dagc compile` prints, is a 50 % interval, not a limit: about half of such cases are
expected inside it, and three in four inside twice its width. The line below the table counts them.
"""

_HEAD = ("case", "metric", "measured", "predicted", "error", "", "source")


def _bands(entries: Sequence[Entry]) -> tuple[str, ...]:
    once, twice = inside(entries), inside(entries, 2.0)
    if once is None or twice is None:
        return ()
    shares = f"{once:.0%} lie within the predicted 50 % interval, {twice:.0%} within twice its width"
    return ("", f"Of phases and requests not in a fit {shares}.")


def _kind_rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    head = ("kind", "cases", "not in a fit", "median", "mean", "bias", "within interval", "in a fit")
    return [head, *(_kind_row(one) for one in aggregates(entries))]


def _kind_row(one: Aggregate) -> tuple[str, ...]:
    cases = str(one.cases) if one.cases == one.answered else f"{one.answered} of {one.cases}"
    shares = _share(one.median), _share(one.mean), _share(one.bias, signed=True), _share(one.median_fitted)
    return (
        one.kind,
        cases,
        str(one.unseen),
        *shares[:3],
        "-" if one.inside is None else f"{one.inside:.0%}",
        shares[3],
    )


def _share(value: float | None, signed: bool = False) -> str:
    return "-" if value is None else f"{value * 100:+.1f} %" if signed else f"{value * 100:.1f} %"


def _row(entry: Entry) -> tuple[str, ...]:
    case = entry.case
    is_fitted = "fit" if case.fitted else ""
    return (
        case.id,
        case.metric,
        case.text,
        _predicted(entry),
        _share(entry.error, signed=True),
        is_fitted,
        case.source,
    )


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
