"""What a fit of factors to serving runs found, and how far predictions are from the runs before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median

from dagc.results.record import Versioned, record


@record
class ErrorSizes:
    """Of |predicted / measured - 1| over runs."""

    median: float
    mean: float
    largest: float


@record
class FactorRecord:
    """A factor, between `low` and `high` with a probability of 68 %. `share`: of the time of the runs, on average.

    `determined` is the share of what was unknown of the factor that the runs settle: 0 where they say nothing.
    """

    work: str
    factor: float
    low: float
    high: float
    share: float
    determined: float


@record
class RunErrors:
    """A run and its errors, predicted / measured - 1; `judged` with factors of runs without this one."""

    run: str
    measured_seconds: float
    before: float
    after: float
    judged: float | None


@record
class ServingFit(Versioned):
    """Factors of a device, and the errors: as published, with the factors, and with those of other runs.

    `strength` says how far factors were let go from 1, 0 not at all. `judged` is null of a single run.
    """

    device: str
    strength: float
    factors: list[FactorRecord]
    before: ErrorSizes
    after: ErrorSizes
    judged: ErrorSizes | None
    runs: list[RunErrors]


def error_sizes(errors: Sequence[float]) -> ErrorSizes:
    """The sizes of some errors."""
    sizes = [abs(error) for error in errors]
    return ErrorSizes(median=median(sizes), mean=mean(sizes), largest=max(sizes))
