"""C301: the stated number of parameters is not that of the stated shapes.

Totals in model names are rounded or cut, so one unit of the last written digit is allowed, and one per cent at least.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.model import ModelShapes, ModelSpec
from dagc.catalog.parameters import ParameterCount, count
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.source import Span
from dagc.units import agrees, format_bytes, format_count

CODE = Code("C301", "parameters-disagree")

_SHAPES = ("layers", "hidden", "vocab", "attention", "experts", "ffn")


def check(plan: Plan, _: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic when total and shapes disagree."""
    model, shapes = plan.facts.model, plan.facts.model.shapes()
    span = model.spans.get("parameters")
    if shapes is None or model.declared_parameters is None or span is None:
        return
    counted = count(shapes)
    if not agrees(span.text, model.declared_parameters, counted.total):
        yield _diagnostic(model, shapes, counted, model.declared_parameters, span)


def _diagnostic(
    model: ModelSpec, shapes: ModelShapes, counted: ParameterCount, declared: float, span: Span
) -> Diagnostic:
    right = format_count(counted.total)
    ratio = max(declared, counted.total) / min(declared, counted.total)
    parts = ", ".join(f"{part.value} {format_count(number)}" for part, number in counted.by_part.items() if number)
    return CODE.at(
        span,
        f"{format_count(declared)} parameters are stated, but the shapes give {right}",
        f"off by a factor of {ratio:.3g}",
        labels=tuple(Label(model.spans[name], "a shape") for name in _SHAPES if name in model.spans),
        notes=(
            f"by part: {parts}",
            f"weights of {format_bytes(declared * shapes.weight_dtype.bytes)} as stated, "
            f"{format_bytes(counted.weight_bytes)} by the shapes; memory and time are computed from the shapes",
        ),
        help=(f"write `parameters {right}`, or correct a shape",),
    )
