"""Measured cases are compiled as plans, and the figure that was measured is read from each.

The page `validation.md` beside `dagc.results.ledger` shows the result; `python -m dagc.driver.validate` writes it
again, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from dagc.catalog.cases import Case, bad_case, measured_cases, read_cases
from dagc.cost.memory import MemoryPart
from dagc.diag.diagnostic import Diagnostic, Severity
from dagc.driver.check import check
from dagc.driver.outcome import Checked, Priced
from dagc.export.text.ledger import render_page
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.metrics import TPOT, TTFT
from dagc.plan.plan import Plan
from dagc.results import ledger
from dagc.results.intervals import Interval, interval_of
from dagc.results.ledger import LedgerEntry
from dagc.results.metrics import Metrics
from dagc.source import Source

PAGE = Path(ledger.__file__).parent / "validation.md"


def validate(kind: str | None = None) -> tuple[LedgerEntry, ...]:
    """Every case of a kind, or all, with its prediction."""
    return tuple(_entry(case) for case in measured_cases() if kind in (None, case.kind))


def validate_own(source: Source) -> tuple[tuple[LedgerEntry, ...], tuple[Diagnostic, ...]]:
    """Every case of a table of a user with its prediction, and the rows that have none."""
    cases, problems = read_cases(source)
    entries: list[LedgerEntry] = []
    found = list(problems)
    for line, case in cases:
        entry = _entry(case)
        entries.append(entry)
        if not entry.predicted:
            found.append(bad_case(source, line, _reason(case)))
    return tuple(entry for entry in entries if entry.predicted), tuple(found)


def _reason(case: Case) -> str:
    """Why a case has no prediction: the first error of its plan, or a metric that nothing has."""
    errors = [
        one
        for one in check(Source(f"{case.id}.moe", case.plan), sample=None).diagnostics
        if one.severity is Severity.ERROR
    ]
    return f"{case.id}: {errors[0].message}" if errors else f"{case.id}: nothing in its plan has `{case.metric}`"


def _entry(case: Case) -> LedgerEntry:
    outcome = check(Source(f"{case.id}.moe", case.plan), sample=None)
    if not outcome.checked or outcome.checked[0].priced.assessment.metrics is None:
        return LedgerEntry(case, None)
    checked = outcome.checked[0]
    predicted, spread = _predicted(case.metric, checked), _spread(case.metric, checked)
    if predicted is None or spread is None:
        return LedgerEntry(case, predicted)
    return LedgerEntry(case, predicted, spread, _interval(case.metric, checked.plan, predicted, spread))


def _interval(metric: str, plan: Plan, predicted: float, spread: float) -> Interval:
    """The stated interval of a figure in its unit: of a time, or of a rate, which is high where a time is short."""
    found = interval_of(plan, 1.0, spread, is_decode=metric == TPOT.name)
    low_80, low_50, high_50, high_80 = found.low_80, found.low_50, found.high_50, found.high_80
    if metric == PREFILL_RATE:
        low_80, low_50, high_50, high_80 = 1 / high_80, 1 / high_50, 1 / low_50, 1 / low_80
    return replace(
        found, low_80=predicted * low_80, low_50=predicted * low_50, high_50=predicted * high_50,
        high_80=predicted * high_80,
    )  # fmt: skip


def _predicted(metric: str, checked: Checked) -> float | None:
    priced, metrics = checked.priced, checked.priced.assessment.metrics
    if metrics is None or metric == "weights":
        return _weights(priced)
    if metric in _OF_A_BATCH and checked.plan.facts.workload.concurrency is not None:
        return None
    if metric in _FIGURES:
        return _FIGURES[metric](checked, metrics)
    phase, _, keys = metric.partition(" ")
    timelines = priced.timelines or ()
    return sum(_layer_seconds(one.priced, keys) for one in timelines if one.priced.graph.phase == phase)


def _spread(metric: str, checked: Checked) -> float | None:
    """The expected error of a phase, or of both of a request; None for parts of a layer and for memory."""
    metrics, workload = checked.priced.assessment.metrics, checked.plan.facts.workload
    if metrics is None or metric not in _FIGURES:
        return None
    if metric == TPOT.name:
        return metrics.decode.error_share
    if metric != "request":
        return metrics.prefill.error_share
    decode = (workload.output - 1) * metrics.decode.seconds
    wrong = metrics.prefill.seconds * metrics.prefill.error_share + decode * metrics.decode.error_share
    return wrong / (metrics.prefill.seconds + decode)


def _weights(priced: Priced) -> float | None:
    memory = priced.assessment.memory
    return memory.fullest.max_parts[MemoryPart.WEIGHTS] if memory else None


def _request(checked: Checked, metrics: Metrics) -> float:
    return checked.plan.facts.workload.batch / metrics.throughput.requests_per_second


PREFILL_RATE = "prefill_rate"

_OF_A_BATCH = frozenset({TTFT.name, "request"})
"""Figures that are not simulated under load, so that nothing measured under load is held against them."""

_FIGURES: Mapping[str, Callable[[Checked, Metrics], float]] = {
    TTFT.name: lambda _, metrics: metrics.prefill.seconds,
    TPOT.name: lambda _, metrics: metrics.decode.seconds,
    "request": _request,
    PREFILL_RATE: lambda checked, metrics: metrics.throughput.prefill_tokens_per_second / checked.plan.deployment.gpus,
}


def _layer_seconds(phase: PricedPhase, keys: str) -> float:
    """Seconds of the nodes of the last kind of layer whose keys match, each as long as on its slowest rank."""
    patterns = tuple(key.strip() for key in keys.split("+"))
    layers = [segment.template for _, _, _, segment in phase.graph.segments() if segment.first_layer is not None]
    nodes = zip(phase.graph.templates[layers[-1]].nodes, phase.costs[layers[-1]], strict=True)
    slowest = [cost.longest for node, cost in nodes if any(fnmatchcase(node.key, p) for p in patterns)]
    return sum(slowest) / PICOSECONDS


if __name__ == "__main__":
    PAGE.write_text(render_page(validate()), encoding="utf-8")
