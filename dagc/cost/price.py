"""A phase of the graph becomes a priced phase: a duration on every node.

Chooses the formula: computation and routing by the calibration of the team's device (the roofline without one),
communication by pattern, backend and the cluster's links. A node whose work another's kernel does costs nothing. Every
template is priced once, on the devices and slowed ranks of the first program that uses it; templates are shared between
stages of one pool only, and between those whose ranks are slowed in the same way. A slowed rank computes more slowly;
what it sends goes as fast as ever.

Assumes that `dagc.plan.missing` finds no rate missing; an unknown rate would limit nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from dagc.catalog.device import DeviceSpec
from dagc.cost.collectives import collective_cost
from dagc.cost.duration import FREE
from dagc.cost.network.fabric import Fabric
from dagc.cost.operators import operator_cost
from dagc.graph.graph import Communication, Node, PhaseGraph, Team
from dagc.graph.priced import NodeCost, PricedPhase
from dagc.plan.plan import Plan

_COMPARED = 64
"""Numbers of a load above which it takes longer to compare than to price again."""


def price(graph: PhaseGraph, plan: Plan) -> PricedPhase:
    """The phase with a cost on every node."""
    teams = _teams(graph)
    devices = {pool.name: plan.device_of(pool) for service in plan.deployment.services for pool in service.pools}
    fabric = Fabric(plan.facts.cluster, plan.facts.engine.name if plan.facts.engine else None)
    known: dict[object, NodeCost] = {}
    costs = tuple(
        tuple(_cost(node, teams.get(index, ()), devices, plan, fabric, known) for node in template.nodes)
        for index, template in enumerate(graph.templates)
    )
    return PricedPhase(graph, costs)


def _cost(
    node: Node,
    teams: tuple[Team, ...],
    devices: dict[str, DeviceSpec],
    plan: Plan,
    fabric: Fabric,
    known: dict[object, NodeCost],
) -> NodeCost:
    """Templates that differ in one part are alike in the others: what they have in common is in `known`."""
    if node.fused_into is not None:
        return FREE
    if node.communication is not None:
        same = _talk(node.communication)
        return _once(known, same, lambda talk=node.communication: collective_cost(talk, fabric))
    team = teams[node.team] if node.team < len(teams) else None
    return _once(known, _work(node, team), lambda: _operator(node, team, devices, plan))


def _once(known: dict[object, NodeCost], same: object, cost: Callable[[], NodeCost]) -> NodeCost:
    if same is None:
        return cost()
    found = known.get(same)
    if found is None:
        found = known[same] = cost()
    return found


def _work(node: Node, team: Team | None) -> object:
    """All that the cost of a computation depends on; None where that is too much to compare."""
    if node.flops.size > _COMPARED or node.memory_bytes.size > _COMPARED:
        return None
    work = node.flops.tobytes(), node.memory_bytes.tobytes()
    return node.key, node.op, node.dtype, node.shape, team and (team.pool, id(team.slowdown)), node.flops.shape, *work


def _talk(talk: Communication) -> object:
    """The same for a collective; exchanges of tokens differ anyway."""
    groups = talk.groups
    if talk.exchange is not None or groups.members.size > _COMPARED or talk.bytes.size > _COMPARED:
        return None
    arrays = talk.bytes, groups.members, groups.nodes, groups.local
    return talk.pattern, talk.axes, talk.bytes.shape, groups.members.shape, *(array.tobytes() for array in arrays)


def _operator(node: Node, team: Team | None, devices: dict[str, DeviceSpec], plan: Plan) -> NodeCost:
    activation = plan.facts.model.activation_dtype
    engine = plan.facts.engine.name if plan.facts.engine else None
    if team is None:
        return operator_cost(node, plan.facts.cluster.device, activation, engine=engine)
    return operator_cost(node, devices[team.pool], activation, team.slowdown, engine)


def _teams(graph: PhaseGraph) -> dict[int, tuple[Team, ...]]:
    """The teams of the first program that uses each template."""
    found: dict[int, tuple[Team, ...]] = {}
    for _, program, _, segment in graph.segments():
        found.setdefault(segment.template, tuple(graph.teams[team] for team in program.teams))
    return found
