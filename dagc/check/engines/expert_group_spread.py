"""W141: an engine's numbers of ranks spread an expert group over more nodes than it fills."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dagc.check.alternatives import written_factor
from dagc.check.engine_terms import services_under
from dagc.check.facts import states
from dagc.check.words import counted
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.engines.profiles import Profile
from dagc.plan.deployment import Service
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("W141", "engine-spreads-expert-group", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; only where the plan states its cluster."""
    for profile, service in services_under(plan) if states(plan, "cluster") else ():
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        if factor is not None and factor.degree > 1 and service.experts_pool.run is not None:
            yield from _judge(plan, profile, service, factor)


def _judge(plan: Plan, profile: Profile, service: Service, factor: Factor) -> Iterator[Diagnostic]:
    node, pool = plan.facts.cluster.gpus_per_node, service.experts_pool
    if pool.experts is None:
        return
    group = plan.deployment.global_ranks(service, pool, 0)[pool.experts.groups((AxisKind.EP,))[0]]
    nodes, least = np.unique(group // node).size, -(-group.size // node)
    if nodes > least:
        order = ", ".join(profile.numbering)
        yield CODE.at(
            factor.span,
            f"an expert group of {group.size} ranks lies on {nodes} nodes in {profile.title}, and would fit on {least}",
            f"{counted(group.size // nodes, 'rank')} of it on each node of {node}",
            notes=(f"{profile.title} numbers ranks by {order}, the last one fastest",),
            help=("use fewer stages, so that a stage's ranks lie closer; dispatch and combine cross the network",),
        )
