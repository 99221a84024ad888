"""A phase of the graph becomes a priced phase: a duration on every node.

Chooses the formula: computation and routing by the calibration of the team's device (the roofline without one),
communication by pattern, backend and the cluster's links. A node whose work another's kernel does costs nothing. Every
template is priced once, on the devices and slowed ranks of the first program that uses it; templates are shared between
stages of one pool only, and between those whose ranks are slowed in the same way. A slowed rank computes more slowly;
what it sends goes as fast as ever.

Assumes that `dagc.plan.missing` finds no rate missing; an unknown rate would limit nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dagc.catalog.device import DeviceSpec
from dagc.cost.collectives import collective_cost
from dagc.cost.duration import FREE
from dagc.cost.network.fabric import Fabric
from dagc.cost.operators import operator_cost
from dagc.cost.sharing import beside_exchange, overlapped
from dagc.graph.graph import Communication, Node, PhaseGraph, Team
from dagc.graph.priced import Costs, NodeCost, PricedPhase
from dagc.plan.plan import Plan

Nodes = tuple[Node, ...]

_COMPARED = 64
"""Numbers of a load above which it takes longer to compare than to price again."""


@dataclass(slots=True)
class KnownCosts:
    """Costs of templates that were priced before, for plans on the same cluster and engine.

    Held with its nodes, because they are known by who they are. `nodes` are costs of single nodes, known by all that
    they depend on: templates that differ in one part are alike in others.
    """

    found: dict[object, tuple[Nodes, Costs]] = field(default_factory=dict[object, "tuple[Nodes, Costs]"])
    nodes: dict[object, NodeCost] = field(default_factory=dict[object, NodeCost])


def price(graph: PhaseGraph, plan: Plan, known: KnownCosts | None = None) -> PricedPhase:
    """The phase with a cost on every node. `known` are costs of plans on the same cluster, by the same engine."""
    known = known or KnownCosts()
    teams, prices, found = _teams(graph), _Prices(plan, graph, known.nodes), known.found
    costs: list[Costs] = []
    for index, template in enumerate(graph.templates):
        runs = teams.get(index, ())
        devices = prices.devices(runs)
        key = id(template.nodes), devices
        if key not in found:
            found[key] = template.nodes, tuple([prices.of(node, runs, devices) for node in template.nodes])
        costs.append(found[key][1])
    return PricedPhase(graph, tuple(costs))


class _Prices:
    """Costs of the nodes of one phase; what is `known` is not priced again."""

    def __init__(self, plan: Plan, graph: PhaseGraph, known: dict[object, NodeCost]) -> None:
        self._plan = plan
        self._devices: dict[str, DeviceSpec] = {}
        for service in plan.deployment.services:
            is_shared = overlapped(graph, service.options.overlap)
            for pool in service.pools:
                device = plan.device_of(pool)
                self._devices[pool.name] = beside_exchange(device) if is_shared else device
        self._engine = plan.facts.engine.name if plan.facts.engine else None
        self._fabric = Fabric(plan.facts.cluster, self._engine)
        self._known = known

    def devices(self, teams: tuple[Team, ...]) -> tuple[object, ...]:
        """What the cost of a node depends on beyond it, by team: the device, and how ranks are slowed.

        A device of which exchanges take multiprocessors has fewer of them.
        """
        used = [self._devices[team.pool] for team in teams]
        slowed = [team.slowdown.tobytes() for team in teams]
        return tuple([(one.name, one.processors, ranks) for one, ranks in zip(used, slowed, strict=True)])

    def of(self, node: Node, teams: tuple[Team, ...], devices: tuple[object, ...]) -> NodeCost:
        """The cost of a node of a template, for the teams of the program that uses it first."""
        if node.fused_into is not None:
            return FREE
        team, runs = (teams[node.team], devices[node.team]) if node.team < len(teams) else (None, None)
        same = _talk(node.communication) if node.communication else _work(node, runs)
        found = None if same is None else self._known.get(same)
        if found is None:
            found = self._cost(node, team)
            if same is not None:
                self._known[same] = found
        return found

    def _cost(self, node: Node, team: Team | None) -> NodeCost:
        if node.communication is not None:
            return collective_cost(node.communication, self._fabric)
        activation = self._plan.facts.model.activation_dtype
        if team is None:
            return operator_cost(node, self._plan.facts.cluster.device, activation, engine=self._engine)
        return operator_cost(node, self._devices[team.pool], activation, team.slowdown, self._engine)


def _work(node: Node, runs: object) -> object:
    """All that the cost of a computation depends on, with what it runs on; None where that is too much to compare."""
    loads = node.flops, node.memory_bytes
    if any(load.size > _COMPARED for load in loads):
        return None
    return node.key, node.op, node.dtype, node.shape, runs, *((load.shape, load.tobytes()) for load in loads)


def _talk(talk: Communication) -> object:
    """The same for a collective; exchanges of tokens differ anyway."""
    groups = talk.groups
    if talk.exchange is not None or groups.members.size > _COMPARED or talk.bytes.size > _COMPARED:
        return None
    arrays = talk.bytes, groups.members, groups.nodes, groups.local
    return talk.pattern, talk.axes, *((array.shape, array.tobytes()) for array in arrays)


def _teams(graph: PhaseGraph) -> dict[int, tuple[Team, ...]]:
    """The teams of the first program that uses each template."""
    found: dict[int, tuple[Team, ...]] = {}
    for _, program, _, segment in graph.segments():
        found.setdefault(segment.template, tuple(graph.teams[team] for team in program.teams))
    return found
