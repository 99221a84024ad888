"""W121: tensor parallelism cuts each expert into shards too narrow for a matrix product to run well."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.alternatives import use_degree, written_factor
from dagc.check.facts import label
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("W121", "thin-expert-shards", Severity.WARNING)

LEAST = 256
"""Columns of a shard below which advice is given: two tiles of 128, as grouped products on a GPU are tiled."""


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; silent where the width does not divide, which is refused."""
    experts = plan.facts.model.experts
    if experts is None:
        return
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.TP)
        if factor is not None and factor.degree > 1 and experts.ffn // factor.degree < LEAST:
            yield _diagnostic(plan, factor, experts.ffn)


def _diagnostic(plan: Plan, factor: Factor, ffn: int) -> Diagnostic:
    fitting = next((d for d in range(factor.degree, 0, -1) if ffn % d == 0 and ffn // d >= LEAST), 1)
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` cuts each expert into shards of {ffn // factor.degree} columns",
        f"{ffn} / {factor.degree} = {ffn // factor.degree}, fewer than {LEAST}",
        labels=label(plan.facts.model.spans, f"each expert is {ffn} wide", "ffn"),
        help=(*use_degree(plan, factor.span, [fitting]), "or split the experts themselves, with `ep`"),
    )
