"""Measured serving runs beside predicted TPOT: errors of all, by kind of strategy, and by model, GPU and engine.

An error is predicted / measured - 1. Groups of a table differ in their number of runs, so that all runs are counted
twice: each run once, and each group of model, GPU and engine once. Runs with separate pools are counted apart, and so
are rows that may not be what they say (`suspect`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

from dagc.catalog.serving_runs import ServingRun
from dagc.results.record import Versioned, record


@dataclass(frozen=True, slots=True)
class PredictedRun:
    """A run and its predicted TPOT in seconds; `spread` is the relative error that its formulas lead to expect.

    `path` is what its plan is like (`dagc.results.intervals`).
    """

    run: ServingRun
    seconds: float
    spread: float
    path: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.seconds / self.run.tpot_seconds - 1


@record
class RunGroupErrors:
    """Errors of some runs: median and mean of their sizes, and the bias, the median of errors with their sign.

    `groups` are of model, GPU and engine; figures `by_group` count each of these once: the median of the groups'
    medians, the mean of their means, the median of their biases.
    """

    name: str
    runs: int
    groups: int
    median: float
    mean: float
    bias: float
    median_by_group: float
    mean_by_group: float
    bias_by_group: float


@record
class UnscoredRows:
    """How many rows of the tables are not scored, and why."""

    reason: str
    rows: int


@record
class RunError:
    """One run: its plan, measured and predicted seconds a token, and whether prices may have been fitted to it."""

    group: str
    kind: str
    plan: str
    repeats: int
    measured: float
    predicted: float
    error: float
    in_a_fit: bool
    suspect: str


@record
class ServingErrors(Versioned):
    """All runs. `groups` are from the smallest median error to the largest."""

    totals: list[RunGroupErrors]
    kinds: list[RunGroupErrors]
    groups: list[RunGroupErrors]
    unscored: list[UnscoredRows]
    runs: list[RunError]


def serving_errors(runs: Sequence[PredictedRun], unscored: Iterable[str]) -> ServingErrors:
    """The record of predicted runs and of the reasons of rows that are not scored, one for each."""
    counted = [one for one in runs if not one.run.suspect]
    node, pools = ([one for one in counted if bool(one.run.prefill) is of_pools] for of_pools in (False, True))
    totals = [
        ("one node", node),
        ("  not in a fit", [one for one in node if not one.run.is_in_fit]),
        ("  in a fit", [one for one in node if one.run.is_in_fit]),
        ("separate pools", pools),
        ("suspect rows, not counted above", [one for one in runs if one.run.suspect]),
    ]
    reasons = list(unscored)
    return ServingErrors(
        totals=[_errors(name, found) for name, found in totals if found],
        kinds=_grouped(node, lambda run: run.kind),
        groups=[*_grouped(node, lambda run: run.group), *_grouped(pools, lambda run: f"{run.group}, separate pools")],
        unscored=[UnscoredRows(reason=one, rows=reasons.count(one)) for one in sorted(set(reasons))],
        runs=[_run(one) for one in runs],
    )


def by_group(runs: Iterable[PredictedRun], name: Callable[[ServingRun], str]) -> dict[str, list[PredictedRun]]:
    """Runs under the names of their groups, in the order of the first of each."""
    found: dict[str, list[PredictedRun]] = {}
    for one in runs:
        found.setdefault(name(one.run), []).append(one)
    return found


def _grouped(runs: Sequence[PredictedRun], name: Callable[[ServingRun], str]) -> list[RunGroupErrors]:
    found = [_errors(group, members) for group, members in by_group(runs, name).items()]
    return sorted(found, key=lambda one: (one.median, one.name))


def _errors(name: str, runs: Sequence[PredictedRun]) -> RunGroupErrors:
    groups = [[one.error for one in members] for members in by_group(runs, lambda run: run.group).values()]
    errors = [error for group in groups for error in group]
    return RunGroupErrors(
        name=name,
        runs=len(errors),
        groups=len(groups),
        median=median(map(abs, errors)),
        mean=mean(map(abs, errors)),
        bias=median(errors),
        median_by_group=median(median(map(abs, group)) for group in groups),
        mean_by_group=mean(mean(map(abs, group)) for group in groups),
        bias_by_group=median(median(group) for group in groups),
    )


def _run(one: PredictedRun) -> RunError:
    return RunError(
        group=one.run.group,
        kind=one.run.kind,
        plan=one.run.plan,
        repeats=one.run.repeats,
        measured=one.run.tpot_seconds,
        predicted=one.seconds,
        error=one.error,
        in_a_fit=one.run.is_in_fit,
        suspect=one.run.suspect,
    )
