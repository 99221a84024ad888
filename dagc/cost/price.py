"""A phase of the graph becomes a priced phase: a duration on every node.

Chooses the formula: computation and routing by the calibration of the team's device (the roofline without one),
communication by pattern, backend and the cluster's links. A node whose work another's kernel does costs nothing. Every
template is priced once, on the devices and slowed ranks of the first program that uses it; templates are shared between
stages of one pool only, and between those whose ranks are slowed in the same way. A slowed rank computes more slowly;
what it sends goes as fast as ever.

Assumes that `dagc.plan.plan` finds no rate missing; an unknown rate would limit nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.cost.amounts import FREE, Amount, AmountCache, PricedAmount
from dagc.cost.collectives import collective_costs
from dagc.cost.operators import NO_SLOWDOWN, operator_costs
from dagc.cost.sharing import beside_exchange, overlapped
from dagc.graph.graph import Node, PhaseGraph, Team
from dagc.graph.priced import Costs, NodeCost, PricedPhase
from dagc.ops.communication import Communication
from dagc.ops.fabric import Fabric
from dagc.ops.op import Computation, Op, Setting
from dagc.plan.plan import Plan

Nodes = tuple[Node, ...]


@dataclass(slots=True)
class CostCache:
    """Costs of templates that were priced before, for plans on the same cluster and engine.

    Each is held with its nodes, whose identity is part of its key. `nodes` are costs of single nodes by the content of
    their operators: templates that differ in one part are alike in others. Of `templates` those of equal costs have one
    tuple of them. `amounts` are what amounts of work and of bytes take, by all else that their price depends on.
    """

    found: dict[object, tuple[Nodes, Costs]] = field(default_factory=dict[object, "tuple[Nodes, Costs]"])
    nodes: dict[object, NodeCost] = field(default_factory=dict[object, NodeCost])
    templates: dict[tuple[int, ...], Costs] = field(default_factory=dict[tuple[int, ...], Costs])
    amounts: AmountCache = field(default_factory=dict[object, dict[Amount, PricedAmount]])
    fabric: Fabric | None = None

    def fabric_of(self, cluster: ClusterSpec, all_reduce: str | None) -> Fabric:
        """The cluster's links, the same as long as the cluster is."""
        if self.fabric is None or self.fabric.cluster is not cluster or self.fabric.all_reduce != all_reduce:
            self.fabric = Fabric(cluster, all_reduce)
        return self.fabric


def price(graph: PhaseGraph, plan: Plan, known: CostCache | None = None) -> PricedPhase:
    """The phase with a cost on every node. `known` are costs of plans on the same cluster, by the same engine."""
    known = known or CostCache()
    teams, prices, found = _teams(graph), _Prices(plan, graph, known), known.found
    runs = [prices.run(template.nodes, teams.get(index, ())) for index, template in enumerate(graph.templates)]
    unknown = {run.key: run for run in runs if run.key not in found}
    for run, costs in zip(unknown.values(), prices.of(unknown.values()), strict=True):
        found[run.key] = run.nodes, known.templates.setdefault(tuple(map(id, costs)), costs)
    return PricedPhase(graph, tuple([found[run.key][1] for run in runs]))


class _Run(NamedTuple):
    """The nodes of a template, the teams that run it, and what costs depend on of each of these."""

    nodes: Nodes
    teams: tuple[Team, ...]
    devices: tuple[object, ...]

    @property
    def key(self) -> object:
        """All that the costs depend on; the nodes by identity."""
        return id(self.nodes), self.devices


class _Alone(NamedTuple):
    """What an operator is known by whose loads are too much to compare: itself, and what it runs on."""

    op: int
    device: object


class _Prices:
    """Costs of the nodes of one phase; what is `known` is not priced again."""

    def __init__(self, plan: Plan, graph: PhaseGraph, known: CostCache) -> None:
        self._plan = plan
        self._devices: dict[str, DeviceSpec] = {}
        for service in plan.deployment.services:
            is_shared = overlapped(graph, service.options.overlap)
            for pool in service.pools:
                device = plan.device_of(pool)
                self._devices[pool.name] = beside_exchange(device) if is_shared else device
        self._contents = {pool: device.content for pool, device in self._devices.items()}
        self._fabric = known.fabric_of(plan.facts.cluster, plan.facts.runtime.all_reduce)
        self._known = known

    def run(self, nodes: Nodes, teams: tuple[Team, ...]) -> _Run:
        """A template on the teams of the program that uses it first.

        What the cost of a node depends on beyond it is, by team, the device, and how ranks are slowed. A device of
        which exchanges take multiprocessors has fewer of them.
        """
        return _Run(nodes, teams, tuple([(self._contents[team.pool], team.slowdown.tobytes()) for team in teams]))

    def of(self, runs: Iterable[_Run]) -> list[Costs]:
        """The costs of the nodes of templates; those that differ in nothing that matters are priced once."""
        new: dict[object, tuple[Op, Team | None]] = {}
        found = [[self._found(node, run, new) for node in run.nodes] for run in runs]
        costs = self._costs(new)
        self._known.nodes.update((key, cost) for key, cost in costs.items() if not isinstance(key, _Alone))
        return [tuple([one if isinstance(one, NodeCost) else costs[one] for one in each]) for each in found]

    def _found(self, node: Node, run: _Run, new: dict[object, tuple[Op, Team | None]]) -> object:
        """The cost of a node, or what it will be known by once the `new` ones are priced."""
        if node.fused_into is not None:
            return FREE
        is_run = node.team < len(run.teams)
        device = run.devices[node.team] if is_run and isinstance(node.op, Computation) else None
        content = node.op.content
        key = _Alone(id(node.op), device) if content is None else (content, device)
        found = self._known.nodes.get(key)
        if found is None:
            new[key] = node.op, run.teams[node.team] if is_run else None
        return key if found is None else found

    def _costs(self, asked: dict[object, tuple[Op, Team | None]]) -> dict[object, NodeCost]:
        """Costs by the same keys: of communications, and of what each team computes."""
        ops = {key: op for key, (op, _) in asked.items() if isinstance(op, Communication)}
        found = dict(zip(ops, collective_costs(list(ops.values()), self._fabric, self._known.amounts), strict=True))
        computed: dict[object, tuple[Team | None, dict[object, Computation]]] = {}
        for key, (op, team) in asked.items():
            if isinstance(op, Computation):
                same = (team.pool, team.slowdown.tobytes()) if team else None
                computed.setdefault(same, (team, {}))[1][key] = op
        for team, ops in computed.values():
            found.update(zip(ops, self._computed(list(ops.values()), team), strict=True))
        return found

    def _computed(self, ops: Sequence[Computation], team: Team | None) -> list[NodeCost]:
        facts = self._plan.facts
        device = self._devices[team.pool] if team else facts.cluster.device
        setting = Setting(device, facts.model.activation_dtype, facts.runtime.tunes_expert_shards)
        return operator_costs(ops, setting, self._known.amounts, team.slowdown if team else NO_SLOWDOWN)


def _teams(graph: PhaseGraph) -> dict[int, tuple[Team, ...]]:
    """The teams of the first program that uses each template."""
    found: dict[int, tuple[Team, ...]] = {}
    for _, program, _, segment in graph.segments():
        found.setdefault(segment.template, tuple(graph.teams[team] for team in program.teams))
    return found
