"""The ledger: measured cases beside what the cost model says of them, with the signed error of each.

An error is predicted / measured - 1. A kind is summed up by the median and the mean of the sizes of its errors, and by
its bias, the median of the errors with their signs, over the cases to which nothing was fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean, median

from dagc.catalog.cases import Case
from dagc.results.intervals import Interval
from dagc.results.record import Versioned, record


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A case and its prediction in the same unit; None where the case could not be priced.

    `spread` is the relative error that its formulas lead to expect, `interval` the stated one in the unit of the case;
    only phases and requests have them.
    """

    case: Case
    predicted: float | None
    spread: float | None = None
    interval: Interval | None = None

    @property
    def error(self) -> float | None:
        """The signed error as a share of what was measured."""
        return None if self.predicted is None else self.predicted / self.case.measured - 1


def inside(entries: Sequence[LedgerEntry], level: float) -> float | None:
    """Share of the cases with an interval, and nothing fitted to them, that lie inside that of a level."""
    intervals = [
        (one.case.measured, one.interval) for one in entries if not one.case.fitted and one.interval is not None
    ]
    known = [low <= measured <= high for measured, one in intervals for low, high in [one.bounds(level)]]
    return mean(known) if known else None


@record
class KindErrors:
    """The errors of a kind: medians and mean are of cases to which nothing was fitted, None where none was answered.

    The mean and the medians are of the sizes of errors, but for the bias, the median of errors with their signs.
    `inside_50` and `inside_80` are the shares within the stated intervals; None where no case has one.
    """

    kind: str
    cases: int
    answered: int
    not_in_a_fit: int
    median_absolute_error: float | None
    mean_absolute_error: float | None
    bias: float | None
    median_absolute_error_in_a_fit: float | None
    inside_50: float | None
    inside_80: float | None


@record
class CaseError:
    """A measured case, what is predicted of it, in the same unit, and the error; None where it could not be priced."""

    id: str
    kind: str
    metric: str
    measured: float
    predicted: float | None
    error: float | None
    interval: Interval | None
    plan: str
    source: str
    licence: str
    in_a_fit: bool
    note: str


@record
class Ledger(Versioned):
    """All cases, and the errors of each kind."""

    kinds: list[KindErrors]
    inside_50: float | None
    inside_80: float | None
    cases: list[CaseError]


def ledger_of(entries: Sequence[LedgerEntry]) -> Ledger:
    """The record of measured cases, in SI units."""
    return Ledger(
        kinds=kind_errors(entries),
        inside_50=inside(entries, 0.5),
        inside_80=inside(entries, 0.8),
        cases=[_case(one) for one in entries],
    )


def kind_errors(entries: Sequence[LedgerEntry]) -> list[KindErrors]:
    """One for each kind, in the order of the entries."""
    return [_kind(kind, tuple(group)) for kind, group in groupby(entries, key=lambda one: one.case.kind)]


def _kind(kind: str, entries: Sequence[LedgerEntry]) -> KindErrors:
    known = [(one.error, one.case.fitted) for one in entries if one.error is not None]
    errors = [error for error, is_fitted in known if not is_fitted]
    sizes, seen = [abs(error) for error in errors], [abs(error) for error, is_fitted in known if is_fitted]
    return KindErrors(
        kind=kind,
        cases=len(entries),
        answered=len(known),
        not_in_a_fit=len(errors),
        median_absolute_error=median(sizes) if sizes else None,
        mean_absolute_error=mean(sizes) if sizes else None,
        bias=median(errors) if errors else None,
        median_absolute_error_in_a_fit=median(seen) if seen else None,
        inside_50=inside(entries, 0.5),
        inside_80=inside(entries, 0.8),
    )


def _case(entry: LedgerEntry) -> CaseError:
    case = entry.case
    return CaseError(
        id=case.id,
        kind=case.kind,
        metric=case.metric,
        measured=case.measured,
        predicted=entry.predicted,
        error=entry.error,
        interval=entry.interval,
        plan=case.plan,
        source=case.source,
        licence=case.licence,
        in_a_fit=case.fitted,
        note=case.note,
    )
