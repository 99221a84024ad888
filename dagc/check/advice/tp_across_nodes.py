"""W105: a tp group lies on more than one node."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import written_factor
from dagc.check.helpers.labels import states
from dagc.check.helpers.nodes import CrossingGroups, crossing, fitting
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("W105", "tp-across-nodes", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each written `tp`; only where the plan states its cluster."""
    if not states(plan, "cluster"):
        return
    seen: set[Factor] = set()
    for service in plan.deployment.services:
        for pool in service.pools:
            for layout in (pool.attention, pool.experts):
                factor = written_factor(layout, AxisKind.TP)
                if layout is None or factor is None or factor.degree == 1 or factor in seen:
                    continue
                found = crossing(plan, service, pool, layout, AxisKind.TP)
                if found is not None:
                    seen.add(factor)
                    yield _diagnostic(factor, found, plan.facts.cluster.gpus_per_node)


def _diagnostic(factor: Factor, found: CrossingGroups, node: int) -> Diagnostic:
    return CODE.at(
        factor.span,
        f"`tp {factor.degree}` crosses nodes of {node} GPUs",
        f"{found.groups} of {counted(found.total, 'tp group')} over the slower network between nodes",
        help=(_help(factor.degree, node),),
    )


def _help(degree: int, node: int) -> str:
    if degree > node or node % degree:
        return f"`tp {fitting(degree, node)}` fits within a node"
    return f"`tp {degree}` divides a node of {node}: make the GPUs before it a multiple of {degree}"
