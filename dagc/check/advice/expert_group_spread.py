"""W141: an engine's numbers of ranks spread an expert group over more nodes than it fills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dagc.check.helpers.alternatives import written_factor
from dagc.check.helpers.labels import states
from dagc.check.helpers.nodes import ExpertGroupSpread, spread
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.units import counted

if TYPE_CHECKING:
    from dagc.engines.engine import Engine

CODE = Code("W141", "engine-spreads-expert-group", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; only where the plan states its cluster."""
    engine = plan.facts.engine
    if engine is None or not states(plan, "cluster"):
        return
    for service in plan.deployment.services:
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        found = spread(plan, service)
        if factor is not None and factor.degree > 1 and found is not None:
            yield _diagnostic(engine, factor, found, plan.facts.cluster.gpus_per_node)


def _diagnostic(engine: Engine, factor: Factor, found: ExpertGroupSpread, node: int) -> Diagnostic:
    where = f"lies on {found.nodes} nodes in {engine.title}, and would fit on {found.minimum}"
    return CODE.at(
        factor.span,
        f"an expert group of {found.size} ranks {where}",
        f"{counted(found.size // found.nodes, 'rank')} of it on each node of {node}",
        notes=(f"{engine.title} numbers ranks by {', '.join(engine.numbering)}, the last one fastest",),
        help=("use fewer stages, so that a stage's ranks lie closer; dispatch and combine cross the network",),
    )
