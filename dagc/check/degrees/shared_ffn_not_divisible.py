"""D307: the inner width of the shared experts does not divide over attention's tp group, which shards them."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import fitting_tp, use_degree, written_factor
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("D307", "shared-ffn-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where heads do not divide either, and where each rank holds all."""
    model = plan.facts.model
    ffn = model.experts.shared_ffn if model.experts else 0
    for service in plan.deployment.services:
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        if not ffn or factor is None or service.options.shared_replicated:
            continue
        if ffn % factor.degree and not (model.heads and model.heads % factor.degree):
            yield _diagnostic(plan, factor, ffn)


def _diagnostic(plan: Plan, factor: Factor, ffn: int) -> Diagnostic:
    each, rest = divmod(ffn, factor.degree)
    fitting = fitting_tp(plan, factor, lambda d: ffn % d == 0)
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` does not divide the inner width {ffn} of the shared experts",
        f"{ffn} = {factor.degree} × {each} + {rest}",
        labels=label(plan.facts.model.spans, f"the shared experts are {ffn} wide", "shared_ffn", "shared", "experts"),
        help=("or replicate them: `[shared replicated]`",),
        offers=use_degree(plan, factor.span, fitting, applies=False),
    )
