"""Priced plans become one `Comparison`: a table of figures, the better ones marked, and where the plans differ.

The first plan is what the others are measured by. Values are the same where they are at three significant digits: a
prediction's further digits are no reason to prefer a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.jsonout import to_json
from dagc.graph.graph import Graph
from dagc.metrics import COMPARED, Metric
from dagc.plan.plan import Plan
from dagc.report import comparison as out
from dagc.report.assessment import Assessment, all_met
from dagc.report.compare import MODEL_DIGITS
from dagc.report.differences import differences
from dagc.report.structure import strategy_text
from dagc.report.values import value, verdict


@dataclass(frozen=True, slots=True)
class Subject:
    """One plan of a comparison: its title there, the file or text that it came from, and what is known of it."""

    title: str
    origin: str
    plan: Plan
    found: Assessment
    graph: Graph | None


def compare(subjects: Sequence[Subject], diagnostics: Iterable[Diagnostic] = ()) -> out.Comparison:
    """The plans side by side; figures that no plan has are left out."""
    figures = [_figure(metric, subjects) for metric in COMPARED]
    return out.Comparison(
        plans=[_column(subject) for subject in subjects],
        figures=[figure for figure in figures if any(one.value is not None for one in figure.values)],
        differences=differences([one.plan for one in subjects], [one.graph for one in subjects]),
        diagnostics=[to_json(diagnostic) for diagnostic in diagnostics],
    )


def _column(subject: Subject) -> out.ComparedPlan:
    memory = subject.found.memory
    return out.ComparedPlan(
        title=subject.title,
        plan=subject.origin,
        name=subject.plan.name,
        strategy=strategy_text(subject.plan.deployment),
        gpus=subject.plan.deployment.gpus,
        fits=None if memory is None else memory.fullest.share <= 1,
        requirements_met=all_met(one.ok for one in subject.found.requirements),
        undetermined=[one.name for one in subject.found.requirements if one.ok is None],
    )


def _figure(metric: Metric, subjects: Sequence[Subject]) -> out.ComparedFigure:
    values = [value(metric, subject.plan, subject.found) for subject in subjects]
    best = _best(values, metric)
    return out.ComparedFigure(
        name=metric.name,
        title=metric.titled(subject.plan.facts.workload.ttft_definition for subject in subjects),
        unit=metric.unit,
        better=metric.better or "less",
        values=[
            out.ComparedValue(
                value=one,
                text=metric.text(one),
                difference=difference(one, values[0]),
                ok=verdict(metric, subject.found),
                is_best=index in best,
            )
            for index, (subject, one) in enumerate(zip(subjects, values, strict=True))
        ],
    )


def _best(values: Sequence[float | None], metric: Metric) -> frozenset[int]:
    """The plans that have the best value; none where all have it."""
    shown = [None if value is None else float(f"{value:.{MODEL_DIGITS}g}") for value in values]
    known = [value for value in shown if value is not None]
    if len(set(shown)) < 2 or not known:
        return frozenset()
    best = min(known) if metric.better == "less" else max(known)
    return frozenset(index for index, value in enumerate(shown) if value == best)


def difference(value: float | None, before: float | None) -> float | None:
    """The relative change of a value; None where it is undetermined."""
    return None if value is None or not before else value / before - 1
