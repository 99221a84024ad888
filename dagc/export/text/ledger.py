"""The ledger of measured cases as text for a terminal, and as the Markdown page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

from dagc.export.text.columns import columns
from dagc.results.ledger import KindErrors, LedgerEntry, inside, kind_errors
from dagc.units import Dimension, format_bytes, format_rate, format_seconds, lookup


def render_text(entries: Sequence[LedgerEntry]) -> str:
    """The kinds, then every case, as aligned columns."""
    kinds, cases = columns(_kind_rows(entries)), columns([_HEAD, *map(_row, entries)])
    return "\n".join([_count(entries), "", *kinds, *_bands(entries), "", *cases]) + "\n"


def _count(entries: Sequence[LedgerEntry]) -> str:
    """How many cases there are, and the median error of those that no coefficient was fitted to."""
    errors = [abs(one.error) for one in entries if one.error is not None and not one.case.fitted]
    cases = (
        f"{len(entries):,} measured {'case' if len(entries) == 1 else 'cases'}, {len(errors):,} of them not in a fit"
    )
    return f"{cases}: median error {_share(median(errors))}" if errors else cases


def render_page(entries: Sequence[LedgerEntry]) -> str:
    """The same as Markdown."""
    return "\n".join([_INTRODUCTION, *_table(_kind_rows(entries)), *_bands(entries), "", *_sections(entries)]) + "\n"


_INTRODUCTION = """\
# Measured cases

Predictions of the cost model for published measurements, as `dagc validate` prints them. An error is predicted /
measured - 1; of a kind the table shows the median and the mean of its size, the bias, which is the median with its
sign, and the shares within the stated intervals, over the cases to which no coefficient was fitted. The last column is
the median of the others, which say `fit` below: rows of a table that a fit used, or serving runs of the half that it
used. Each case is a plan, in `dagc/catalog/measured/cases.csv`, with its source.

Phases and requests have intervals that 50 % and 80 % of runs like them lie in; `dagc compile` prints the second.
Those of serving runs are set by larger tables of such runs, those of static batches by these very cases. The line below
the table counts them.
"""

_HEAD = ("case", "metric", "measured", "predicted", "error", "", "source")


def _bands(entries: Sequence[LedgerEntry]) -> tuple[str, ...]:
    half, most = inside(entries, 0.5), inside(entries, 0.8)
    if half is None or most is None:
        return ()
    shares = f"{half:.0%} lie within the stated 50 % interval, {most:.0%} within that of 80 %"
    return ("", f"Of phases and requests not in a fit {shares}.")


def _kind_rows(entries: Sequence[LedgerEntry]) -> list[tuple[str, ...]]:
    head = ("kind", "cases", "not in a fit", "median", "mean", "bias", "within 50 %", "within 80 %", "in a fit")
    return [head, *(_kind_row(one) for one in kind_errors(entries))]


def _kind_row(one: KindErrors) -> tuple[str, ...]:
    cases = str(one.cases) if one.cases == one.answered else f"{one.answered} of {one.cases}"
    shares = (
        _share(one.median_absolute_error),
        _share(one.mean_absolute_error),
        _share(one.bias, signed=True),
        _share(one.median_absolute_error_in_a_fit),
    )
    return (
        one.kind,
        cases,
        str(one.not_in_a_fit),
        *shares[:3],
        *("-" if share is None else f"{share:.0%}" for share in (one.inside_50, one.inside_80)),
        shares[3],
    )


def _share(value: float | None, signed: bool = False) -> str:
    return "-" if value is None else f"{value * 100:+.1f} %" if signed else f"{value * 100:.1f} %"


def _row(entry: LedgerEntry) -> tuple[str, ...]:
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


def _predicted(entry: LedgerEntry) -> str:
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


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
        if number == 0:
            yield "|" + "---|" * len(row)


def _sections(entries: Sequence[LedgerEntry]) -> Iterator[str]:
    for kind, group in groupby(entries, key=lambda one: one.case.kind):
        yield from (f"## {kind}", "", *_table([_HEAD, *map(_row, group)]), "")
