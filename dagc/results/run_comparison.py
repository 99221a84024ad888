"""Results of a serving benchmark beside what is predicted for the same load, figure by figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from dagc.results.record import Versioned, record

MOST_OF_A_TOKEN = 1.3
"""Median gap between chunks by the time of a token, up to which chunks are taken for tokens."""


@record
class FigureComparison:
    """A figure in SI units, as measured and as predicted; `error` is predicted / measured - 1."""

    figure: str
    measured: float
    predicted: float
    error: float


@record
class RunComparison:
    """One run under one strategy. `prompt` and `output` are mean tokens, `note` is what a reader should know."""

    run: str
    tool: str
    model: str
    strategy: str
    load: str
    requests: int
    prompt: float
    output: float
    figures: list[FigureComparison]
    note: str


@record
class FigureErrors:
    """Over runs: the median size of the errors of a figure, and their median with its sign."""

    figure: str
    runs: int
    median_absolute_error: float
    bias: float


@record
class RunComparisons(Versioned):
    """All runs, and the errors of each figure over them."""

    errors: list[FigureErrors]
    runs: list[RunComparison]


def compared(measured: Mapping[str, float], predicted: Mapping[str, float]) -> list[FigureComparison]:
    """Figures that both have, in the order of the measured ones.

    A stream sends some tokens at once: then gaps between chunks are not those between tokens, and are left out.
    """
    gap, token = measured.get("median_itl", 0.0), measured.get("median_tpot", measured.get("mean_tpot", 0.0))
    is_chunked = bool(token) and gap > MOST_OF_A_TOKEN * token
    return [
        FigureComparison(figure=name, measured=value, predicted=predicted[name], error=predicted[name] / value - 1)
        for name, value in measured.items()
        if name in predicted and not (is_chunked and name.endswith("_itl"))
    ]


def run_comparisons(runs: Iterable[RunComparison]) -> RunComparisons:
    """The record of some runs."""
    listed = list(runs)
    errors: dict[str, list[float]] = {}
    for run in listed:
        for one in run.figures:
            errors.setdefault(one.figure, []).append(one.error)
    return RunComparisons(
        errors=[
            FigureErrors(
                figure=figure, runs=len(found), median_absolute_error=median(map(abs, found)), bias=median(found)
            )
            for figure, found in errors.items()
        ],
        runs=listed,
    )
