"""A phase of the graph becomes a priced phase: a duration on every node.

Chooses the formula: computation and routing by the calibration of the team's device (the roofline without one),
communication by pattern, backend and the cluster's links. A node whose work another's kernel does costs nothing. Every
template is priced once, on the devices and slowed ranks of the first program that uses it; templates are shared between
stages of one pool only, and between those whose ranks are slowed in the same way. A slowed rank computes more slowly;
what it sends goes as fast as ever.

Assumes that `dagc.plan.missing` finds no rate missing; an unknown rate would limit nothing.
"""

from __future__ import annotations

from dagc.catalog.device import DeviceSpec
from dagc.cost.collectives import collective_cost
from dagc.cost.duration import FREE
from dagc.cost.network.fabric import Fabric
from dagc.cost.operators import operator_cost
from dagc.graph.graph import Node, PhaseGraph, Team
from dagc.graph.priced import NodeCost, PricedPhase
from dagc.plan.plan import Plan


def price(graph: PhaseGraph, plan: Plan) -> PricedPhase:
    """The phase with a cost on every node."""
    teams = _teams(graph)
    devices = {pool.name: plan.device_of(pool) for service in plan.deployment.services for pool in service.pools}
    engine = plan.facts.engine.name if plan.facts.engine else None
    fabric = Fabric(plan.facts.cluster, engine)
    costs = tuple(
        tuple(_cost(node, teams.get(index, ()), devices, plan, fabric) for node in template.nodes)
        for index, template in enumerate(graph.templates)
    )
    return PricedPhase(graph, costs)


def _cost(node: Node, teams: tuple[Team, ...], devices: dict[str, DeviceSpec], plan: Plan, fabric: Fabric) -> NodeCost:
    if node.fused_into is not None:
        return FREE
    if node.communication is not None:
        return collective_cost(node.communication, fabric)
    activation = plan.facts.model.activation_dtype
    engine = plan.facts.engine.name if plan.facts.engine else None
    if node.team >= len(teams):
        return operator_cost(node, plan.facts.cluster.device, activation, engine=engine)
    team = teams[node.team]
    return operator_cost(node, devices[team.pool], activation, team.slowdown, engine)


def _teams(graph: PhaseGraph) -> dict[int, tuple[Team, ...]]:
    """The teams of the first program that uses each template."""
    found: dict[int, tuple[Team, ...]] = {}
    for _, program, _, segment in graph.segments():
        found.setdefault(segment.template, tuple(graph.teams[team] for team in program.teams))
    return found
