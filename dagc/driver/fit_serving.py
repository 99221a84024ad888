"""Serving runs become factors of a device's kinds of work.

A run is a plan under a load and its measured time between two tokens. Each is priced as published and once more with
each kind of work a little slower, which gives the time of each kind on the critical path; the fit needs no more. At the
fitted factors all are priced again, until that says what the fit says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dagc.catalog.calibration import Calibration, ServingFactors, Work
from dagc.catalog.cases import Case, bad_case, read_cases
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.catalog.serving_results import ServingResult, read_results
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.driver.check import check, silent
from dagc.driver.outcome import Checked, Say
from dagc.driver.strategies import price_plan
from dagc.driver.validate_results import ReadPlan
from dagc.fit.serving import KINDS, FactorFit, RunTimes, Values, fit_factors
from dagc.metrics import TPOT
from dagc.plan.plan import Plan
from dagc.results.serving_fit import FactorRecord, RunErrors, ServingFit, error_sizes
from dagc.source import Source

NOTHING_TO_FIT = Code("X422", "nothing-to-fit")

_STEP = 0.02
"""By how much a kind is slower where its time is asked for."""

_ROUNDS = 3
_CLOSE = 1e-3
"""Relative distance at which the linear times of the fit are those of the plans."""


@dataclass(frozen=True, slots=True)
class PlanRun:
    """A plan under the load that was run, and seconds between two tokens of a request."""

    name: str
    plan: Plan
    measured: float


def serving_runs(
    source: Source, plan: ReadPlan | None, found: list[Diagnostic], say: Say = silent
) -> Iterator[PlanRun]:
    """The runs of a table of cases, or of results of a client, which ran `plan`; `found` collects what is wrong."""
    say(f"reading {source.name}")
    head = source.text.partition("\n")[0]
    if "strategy" in head and "metric" in head and "{" not in head:
        cases, wrong = read_cases(source)
        found += wrong
        yield from _of_cases(source, cases, found)
    elif plan is None:
        message = f"`{source.name}` does not say which plan it is of"
        found.append(NOTHING_TO_FIT.at(None, message, help=("name it: `--plan plan.moe`",)))
    else:
        results, wrong = read_results(source)
        found += wrong
        yield from _of_results(plan, results, found)


def _of_results(plan: ReadPlan, results: Sequence[ServingResult], found: list[Diagnostic]) -> Iterator[PlanRun]:
    """The runs of results that have a TPOT, under the only strategy of the plan."""
    if len(plan.file.strategies) > 1:
        span, message = plan.file.strategies[1].span, "the runs were of one strategy, and the plan has several"
        found.append(NOTHING_TO_FIT.at(span, message, "another one", help=("leave the one that was run",)))
        return
    for result in results:
        measured = result.figures.get("median_tpot") or result.figures.get("mean_tpot")
        if not measured:
            message = f"{result.name} has no time between two tokens"
            help_text = "run the client with streaming, so that it measures TPOT"
            found.append(NOTHING_TO_FIT.at(result.place.source.span(0, 0), message, "in this file", help=(help_text,)))
            continue
        for checked in plan.under(result, found):
            yield _run(result.name, checked, measured)


def _of_cases(source: Source, cases: Iterable[tuple[int, Case]], found: list[Diagnostic]) -> Iterator[PlanRun]:
    """The cases of a table whose metric is TPOT; `found` collects why others have no prediction."""
    for line, case in cases:
        if case.metric != TPOT.name:
            continue
        outcome = check(Source(f"{case.id}.moe", case.plan), sample=None)
        if outcome.checked and outcome.checked[0].priced.assessment.metrics:
            yield _run(case.id, outcome.checked[0], case.measured)
        else:
            errors = [one.message for one in outcome.diagnostics if one.severity is Severity.ERROR]
            found.append(bad_case(source, line, f"{case.id}: {errors[0] if errors else 'its plan has no times'}"))


def _run(name: str, checked: Checked, measured: float) -> PlanRun:
    """An open loop has as many requests in flight as its steady state, whatever its factors."""
    plan, workload = checked.plan, checked.plan.facts.workload
    if workload.is_open:
        held = checked.priced.metrics.serving.running
        workload = replace(workload, batch=held, concurrency=held, is_open=False)
        plan = replace(plan, facts=replace(plan.facts, workload=workload))
    return PlanRun(name, plan, measured)


def fit_serving(
    runs: Sequence[PlanRun], device: str | None, source: str, say: Say
) -> tuple[Calibration, ServingFit] | Diagnostic:
    """The calibration of the device of the runs with factors, and how far both are from the runs.

    Of runs of several devices those of `device` are taken.
    """
    some = [run for run in runs if device in (None, _device(run))]
    devices = {_device(run): run.plan.facts.cluster.device.calibration for run in some}
    if not some:
        of = f" of {device}" if device else ""
        return NOTHING_TO_FIT.at(None, f"there is no run{of} to fit factors to", help=(_HELP,))
    if len(devices) > 1:
        names = ", ".join(f"`{name}`" for name in sorted(devices))
        return NOTHING_TO_FIT.at(None, f"the runs are of several devices: {names}", help=("name one: `--device NAME`",))
    name, calibration = devices.popitem()
    measured = np.array([run.measured for run in some])
    times = run_times(some, say=say)
    fit = fit_factors(times, measured)
    exact = measured
    for _ in range(_ROUNDS):
        factors = dict(zip(KINDS, fit.factors.tolist(), strict=True))
        exact = _seconds(some, factors)
        if np.abs(times.seconds(fit.factors) / exact - 1).max() < _CLOSE:
            break
        times = run_times(some, factors, say)
        fit = fit_factors(times, measured)
    fit = replace(fit, after=exact / measured - 1, before=_seconds(some, {}) / measured - 1)
    found = _record(name, some, fit, times)
    kept = {kind: float(f"{factor:.5g}") for kind, factor in zip(KINDS, fit.factors, strict=True) if factor != 1}
    adjusted = ServingFactors(
        factors=kept,
        runs=len(some),
        error_before=found.before.median,
        error_after=(found.judged or found.after).median,
        source=source,
    )
    base = calibration or Calibration(name, {})
    return replace(base, serving=adjusted), found


def _record(device: str, runs: Sequence[PlanRun], fit: FactorFit, times: RunTimes) -> ServingFit:
    shares = (times.parts * fit.factors / times.seconds(fit.factors)[:, None]).mean(axis=0)
    columns = zip(KINDS, fit.factors, fit.low, fit.high, shares, fit.determined, strict=True)
    judged: list[float | None] = [None] * len(runs) if fit.judged is None else fit.judged.tolist()
    errors = zip(runs, fit.before.tolist(), fit.after.tolist(), judged, strict=True)
    return ServingFit(
        device=device,
        strength=fit.strength,
        factors=[
            FactorRecord(
                work=kind,
                factor=float(one),
                low=float(low),
                high=float(high),
                share=float(share),
                determined=float(determined),
            )
            for kind, one, low, high, share, determined in columns
        ],
        before=error_sizes(fit.before.tolist()),
        after=error_sizes(fit.after.tolist()),
        judged=None if fit.judged is None else error_sizes(fit.judged.tolist()),
        runs=[
            RunErrors(run=run.name, measured_seconds=run.measured, before=before, after=after, judged=one)
            for run, before, after, one in errors
        ],
    )


_HELP = "name results of a benchmark and their plan, or a table of cases whose metric is `tpot`"


def _device(run: PlanRun) -> str:
    return run.plan.facts.cluster.device.name


def run_times(runs: Sequence[PlanRun], factors: Mapping[Work, float] | None = None, say: Say = silent) -> RunTimes:
    """The linear times of runs around some factors."""
    at, kinds = dict.fromkeys(KINDS, 1.0) | dict(factors or {}), _kinds(runs)
    base = _seconds(runs, at)
    parts = np.zeros((len(runs), len(KINDS)))
    for column, kind in enumerate(KINDS):
        if kind not in kinds:
            continue
        say(f"pricing {len(runs):,} runs: {kind}")
        factor = at[kind]
        slower = _seconds(runs, {**at, kind: factor * (1 + _STEP)})
        # A longer step may need fewer requests at once; then nothing of its time is the kind's.
        parts[:, column] = np.maximum(slower - base, 0.0) / (factor * _STEP)
    known = np.array([at[kind] for kind in KINDS])
    return RunTimes(parts, base - parts @ known)


def _kinds(runs: Sequence[PlanRun]) -> set[Work]:
    """Kinds of work of which one of the runs may have some: products in the types of its weights."""
    models = [shapes for run in runs if (shapes := run.plan.facts.model.shapes())]
    stored = {part_stored(shapes, part).dtype for shapes in models for part in Part}
    return {kind for kind in KINDS if kind is kind.family or kind in {kind.family.of(dtype) for dtype in stored}}


def _seconds(runs: Sequence[PlanRun], factors: Mapping[Work, float]) -> Values:
    """Seconds between two tokens of each run, priced with factors."""
    clusters: dict[int, Plan] = {}
    found: list[float] = []
    for run in runs:
        plan = _with(run.plan, factors)
        first = clusters.setdefault(id(run.plan.facts.cluster), plan)
        # The same object for all, so that prices of one run serve the next.
        plan = replace(plan, facts=replace(plan.facts, cluster=first.facts.cluster))
        found.append(price_plan(plan, [], silent, sample=None).metrics.decode.seconds)
    return np.array(found)


def _with(plan: Plan, factors: Mapping[Work, float]) -> Plan:
    """The plan with these factors in place of those of its calibration."""
    cluster = plan.facts.cluster
    device, serving = cluster.device, None
    if device.calibration is None and not factors:
        return plan
    if factors:
        serving = ServingFactors(factors, 0, 0.0, 0.0, "")
    calibration = replace(device.calibration or Calibration(device.name, {}), serving=serving)
    cluster = replace(cluster, device=replace(device, calibration=calibration))
    return replace(plan, facts=replace(plan.facts, cluster=cluster))
