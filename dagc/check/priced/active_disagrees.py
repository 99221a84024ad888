"""C302: the stated number of active parameters is neither that of the shapes nor below the stated total."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.parameters import ActiveDefinition, count
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.source import Span
from dagc.units import TOLERANCE, format_count, last_digit

CODE = Code("C302", "active-disagrees")


def check(plan: Plan, _: Assessment) -> Iterator[Diagnostic]:
    """At most one. Any of the usual ways to count what is active will do."""
    model = plan.facts.model
    declared, span, shapes = model.declared_active, model.spans.get("active"), model.shapes()
    if declared is None or span is None:
        return
    if shapes is not None:
        counted = count(shapes).active
        allowed = max(TOLERANCE * declared, last_digit(span.text, declared))
        if not any(abs(right - declared) <= allowed for right in counted.values()):
            yield _by_shapes(declared, span, counted[ActiveDefinition.ALL])
    elif model.declared_parameters is not None and declared > model.declared_parameters:
        yield _over_total(declared, span, model.declared_parameters, model.spans.get("parameters"))


def _by_shapes(declared: float, span: Span, right: float) -> Diagnostic:
    return CODE.at(
        span,
        f"{format_count(declared)} active parameters are stated, "
        f"but a token passes {format_count(right)} by the shapes",
        f"off by a factor of {max(declared, right) / min(declared, right):.3g}",
        help=(f"write `active {format_count(right)}`, or correct a shape",),
    )


def _over_total(declared: float, span: Span, total: float, place: Span | None) -> Diagnostic:
    return CODE.at(
        span,
        f"{format_count(declared)} active parameters are stated, but {format_count(total)} in total",
        "more than the total",
        labels=(Label(place, "the total"),) if place else (),
        help=("correct one of the two",),
    )
