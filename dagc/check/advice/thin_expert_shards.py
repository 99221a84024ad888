"""W121: tensor parallelism cuts each expert into shards too narrow for a matrix product to run well."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import fitting_tp, use_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan

CODE = Code("W121", "thin-expert-shards", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; silent where the width does not divide, which is refused."""
    experts, minimum = plan.facts.model.experts, plan.facts.rules.limit("expert_columns")
    if experts is None:
        return
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.TP)
        if factor is not None and factor.degree > 1 and experts.ffn // factor.degree < minimum:
            yield _diagnostic(plan, factor, experts.ffn, minimum)


def _diagnostic(plan: Plan, factor: Factor, ffn: int, minimum: float) -> Diagnostic:
    fitting = fitting_tp(plan, factor, lambda d: ffn // d >= minimum or d == 1)
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` cuts each expert into shards of {ffn // factor.degree} columns",
        f"{ffn} / {factor.degree} = {ffn // factor.degree}, fewer than {minimum:g}",
        labels=label(plan.facts.model.spans, f"each expert is {ffn} wide", "ffn"),
        help=("or split the experts themselves, with `ep`",),
        offers=use_degree(plan, factor.span, fitting, applies=False),
    )
