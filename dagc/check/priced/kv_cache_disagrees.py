"""C304: the stated bytes of cache a token are not those of the stated shapes.

One unit of the last written digit is allowed, and one per cent at least.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.cache import kv_bytes_per_token
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.units import agrees, counted

CODE = Code("C304", "kv-cache-disagrees")

_SHAPES = ("layers", "attention", "kv_dtype")


def check(plan: Plan, _: Assessment) -> Iterator[Diagnostic]:
    """One diagnostic when figure and shapes disagree."""
    model, shapes = plan.facts.model, plan.facts.model.shapes()
    span, declared = model.spans.get("kv_per_token"), model.declared_kv_bytes
    if shapes is None or span is None or declared is None:
        return
    right = kv_bytes_per_token(shapes)
    if agrees(span.text, declared, right):
        return
    attending = sum(kind.attention is not None for kind in shapes.layer_kinds())
    yield CODE.at(
        span,
        f"{declared:,.0f} bytes of cache a token are stated, but the shapes give {right:,.0f}",
        f"off by {declared - right:+,.0f} bytes",
        labels=tuple(Label(model.spans[name], "a shape") for name in _SHAPES if name in model.spans),
        notes=(f"{counted(attending, 'layer')} with attention, in {shapes.kv_dtype}, over all layers, not sharded",),
        help=(f"write `kv_per_token {right:.0f} B`, or correct a shape",),
    )
