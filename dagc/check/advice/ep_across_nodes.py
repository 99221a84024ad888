"""W120: an expert group lies on more than one node, so that its all-to-all goes over the network."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import written_factor
from dagc.check.helpers.labels import states
from dagc.check.helpers.nodes import CrossingGroups, crossing, fitting, spread
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.units import counted, format_share

CODE = Code("W120", "ep-across-nodes", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each written `ep`; only where the plan states its cluster, and no engine spreads the group."""
    if not states(plan, "cluster"):
        return
    for service in plan.deployment.services:
        pool = service.experts_pool
        factor = written_factor(pool.experts, AxisKind.EP)
        if pool.experts is None or factor is None or spread(plan, service) is not None:
            continue
        found = crossing(plan, service, pool, pool.experts, AxisKind.EP)
        if found is not None:
            yield _diagnostic(factor, found, plan.facts.cluster.gpus_per_node)


def _diagnostic(factor: Factor, found: CrossingGroups, node: int) -> Diagnostic:
    return CODE.at(
        factor.span,
        f"`ep {factor.degree}` crosses nodes of {node} GPUs",
        f"{found.groups} of {counted(found.total, 'expert group')}: "
        f"{format_share(found.leaving)} of the bytes a rank sends leave its node",
        help=(_help(factor.degree, node),),
    )


def _help(degree: int, node: int) -> str:
    fits = fitting(degree, node)
    instead = (
        f"`ep {fits}` fits within a node"
        if fits < degree
        else "place the ranks of the group on one node, with `tp` inside"
    )
    return f"{instead}; for wide expert parallelism, allow this code"
