"""W102: experts do not divide evenly over the ranks of an expert group."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import written_factor
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("W102", "experts-uneven", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; silent where ranks would hold none."""
    experts = plan.facts.model.expert_count
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        slots = (experts or 0) + service.options.redundant
        if experts and factor is not None and slots >= factor.degree and slots % factor.degree:
            yield _diagnostic(plan, factor, experts, slots)


def _diagnostic(plan: Plan, factor: Factor, experts: int, slots: int) -> Diagnostic:
    each, rest = divmod(slots, factor.degree)
    spare = -slots % factor.degree
    redundant = slots - experts + spare
    return CODE.at(
        factor.span,
        f"{counted(slots, 'expert slot')} do not divide over `ep {factor.degree}`",
        f"{counted(rest, 'rank')} with {each + 1}, {factor.degree - rest} with {each}",
        labels=label(plan.facts.model.spans, f"{counted(experts, 'expert')} in each MoE layer", "experts"),
        help=(f"`[redundant {redundant}]` fills the ranks evenly, or use an `ep` that divides {slots}",),
    )
