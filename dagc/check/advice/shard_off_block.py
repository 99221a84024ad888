"""W127: a tensor shard is no multiple of the block that shares one scale in a quantised weight."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_degree
from dagc.check.helpers.blocks import BLOCK, Tensor, cut_inside, fitting, outputs
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan

CODE = Code("W127", "shard-off-block", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each `tp`, with every tensor that it cuts off a block."""
    for service in plan.deployment.services:
        for factor, off, tensors in cut_inside(service, outputs(plan.facts.model, service)):
            yield _diagnostic(plan, factor, off, tensors)


def _diagnostic(plan: Plan, factor: Factor, off: list[Tensor], tensors: list[Tensor]) -> Diagnostic:
    first, tp = off[0], factor.degree
    return CODE.at(
        factor.span,
        f"`tp {tp}` cuts {first.name} inside a block of {BLOCK[first.dtype]} {first.dtype} elements",
        f"{first.width} / {tp} = {first.width // tp}, no multiple of {BLOCK[first.dtype]}",
        notes=tuple(f"{t.name}, too: {t.width} / {tp} = {t.width // tp}" for t in off[1:]),
        offers=use_degree(plan, factor.span, fitting(plan, factor, tensors), applies=False),
    )
