"""C303: the stated size of the weights is not that of the parameters in their types."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.model import ModelSpec
from dagc.catalog.parameters import count
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.units import agrees, format_bytes, format_count

CODE = Code("C303", "weights-disagree")


def check(plan: Plan, _: Assessment) -> Iterator[Diagnostic]:
    """At most one."""
    model = plan.facts.model
    span, declared, right = model.spans.get("weights"), model.declared_weight_bytes, _right(model)
    if span is None or declared is None or right is None:
        return
    size, reason = right
    if not agrees(span.text, declared, size):
        yield CODE.at(
            span,
            f"weights of {format_bytes(declared)} are stated, but {reason} are {format_bytes(size)}",
            f"off by a factor of {max(declared, size) / min(declared, size):.3g}",
            help=(f"write `weights {format_bytes(size)}`, or correct a shape or a type",),
        )


def _right(model: ModelSpec) -> tuple[float, str] | None:
    """By the shapes where they are stated, else by the stated total."""
    shapes = model.shapes()
    if shapes is not None:
        counted = count(shapes)
        return counted.weight_bytes, f"{format_count(counted.total)} parameters by the shapes"
    if model.declared_parameters is None:
        return None
    each = f"{model.weight_dtype.bytes:g} bytes ({model.weight_dtype})"
    size = model.declared_parameters * model.weight_dtype.bytes
    return size, f"{format_count(model.declared_parameters)} stated parameters × {each}"
