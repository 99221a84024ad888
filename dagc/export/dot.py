"""A compiled strategy as a Graphviz drawing: stages side by side, one layer of each kind opened.

Services, stages, segments and pools are nested clusters. Computation is a box, communication an ellipse, routing and
aggregation a parallelogram; the choice of experts is a dashed edge; the critical path has thick lines of its own
colour. What is folded says so. All text of a plan is escaped. Layout is left to the renderer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import graphviz

from dagc.export import dot_style as style
from dagc.export.dot_legend import add_legend
from dagc.export.dot_text import (
    folded_label,
    node_label,
    node_tooltip,
    pool_label,
    segment_label,
    service_label,
    stage_label,
    title,
)
from dagc.export.dot_view import NodeView, SegmentView, ServiceView, StageView, first_open, services
from dagc.graph.graph import Graph, Pairing
from dagc.graph.ops import ROUTER, SEND
from dagc.plan.deployment import Role
from dagc.plan.plan import Plan
from dagc.timeline.timeline import Timeline


def to_dot(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> str:
    """DOT text of the strategy; `timelines` in the order of `graph.phases`."""
    drawing = graphviz.Digraph("dagc", graph_attr=style.GRAPH, node_attr=style.NODE, edge_attr=style.EDGE)
    drawing.attr(label=title(plan, graph, timelines), tooltip=style.plain(plan.name))
    roles = {pool.name: pool.role for service in plan.deployment.services for pool in service.pools}
    sketch = _Sketch(drawing, roles)
    drawn = [sketch.service(service) for service in services(graph, timelines)]
    for before, after in pairwise(drawn):
        sketch.join_services(before, after)
    top = [stage.top for service in drawn for stage in service.stages]
    add_legend(drawing, top, roles)
    sketch.row(top)
    return drawing.source


@dataclass(slots=True)
class _Ends:
    """Where edges of a drawn part begin and end: first and last node, and its cluster where it has one."""

    first: str
    last: str
    cluster: str | None
    is_column: bool = False


@dataclass(slots=True)
class _Stage:
    """A drawn stage: the node on top, and those that meet other stages."""

    top: str
    last: str
    send: str | None = None
    receives: list[tuple[str, Pairing]] = field(default_factory=list[tuple[str, Pairing]])


@dataclass(slots=True)
class _Service:
    cluster: str
    stages: list[_Stage]


class _Sketch:
    """Adds parts to one drawing and numbers them."""

    def __init__(self, drawing: graphviz.Digraph, roles: dict[str, Role]) -> None:
        self._drawing = drawing
        self._roles = roles
        self._count = 0

    def service(self, view: ServiceView) -> _Service:
        """One service: its stages, and the messages between them."""
        name = self._name("cluster_service")
        with self._drawing.subgraph(name=name) as box:
            box.attr(label=service_label(view), style="rounded", color=style.LINE, fontsize="14", margin="14")
            stages = [self._stage(box, stage, view) for stage in view.stages]
        for before, after in pairwise(stages):
            for receive, pairing in after.receives:
                if before.send and pairing is Pairing.STAGE:
                    self._edge(before.send, receive, "transfer", constraint="false")
        self._next_step(stages)
        return _Service(name, stages)

    def join_services(self, before: _Service, after: _Service) -> None:
        """The KV cache crosses from one service to the next."""
        self._edge(
            before.stages[-1].last, after.stages[0].top, "transfer", constraint="false",
            ltail=before.cluster, lhead=after.cluster, label="KV cache",
        )  # fmt: skip

    def row(self, nodes: list[str]) -> None:
        """Nodes beside each other, in this order."""
        if len(nodes) < 2:
            return
        with self._drawing.subgraph() as same:
            same.attr(rank="same")
            for node in nodes:
                same.node(node)
        for left, right in pairwise(nodes):
            self._drawing.edge(left, right, style="invis")

    def _next_step(self, stages: list[_Stage]) -> None:
        for receive, pairing in stages[0].receives:
            if stages[-1].send and pairing is Pairing.STEP:
                self._edge(stages[-1].send, receive, "order", constraint="false", label="next step")

    def _stage(self, parent: graphviz.Digraph, view: StageView, service: ServiceView) -> _Stage:
        with parent.subgraph(name=self._name("cluster_stage")) as box:
            tone = style.POOL_TONES[self._roles.get(view.teams[0].pool, Role.ALL)]
            box.attr(label=stage_label(view), style="filled,rounded", fillcolor=tone, color=style.LINE, margin="10", fontsize="12")
            parts = [self._segment(box, segment, service) for segment in view.segments]
        stage = _Stage(parts[0][0].first, parts[-1][0].last)
        for _, names in parts:
            _note_messages(stage, names)
        self._sequence([ends for ends, _ in parts])
        return stage

    def _sequence(self, parts: list[_Ends]) -> None:
        """Segments in order: small ones below each other, each opened layer after the first in a column of its own."""
        for before, after in pairwise(parts):
            beside = after.is_column and any(part.is_column for part in parts[: parts.index(after)])
            extra = {"constraint": "false"} if beside else {}
            extra |= {"ltail": before.cluster} if before.cluster else {}
            extra |= {"lhead": after.cluster} if after.cluster else {}
            self._edge(before.last, after.first, "sequence", **extra)
        columns = [part for part in parts if part.is_column]
        self.row([part.first for part in columns])

    def _segment(
        self, parent: graphviz.Digraph, view: SegmentView, service: ServiceView
    ) -> tuple[_Ends, dict[str, tuple[str, NodeView]]]:
        if not view.nodes:
            return self._folded(parent, view, service), {}
        if len(view.nodes) == 1:
            names = self._nodes(parent, view.nodes, service)
            name = names[view.nodes[0].key][0]
            return _Ends(name, name, None), names
        cluster = self._name("cluster_segment")
        with parent.subgraph(name=cluster) as box:
            box.attr(label=segment_label(view), style="filled,rounded", fillcolor="white", color=style.LINE, margin="8", fontsize="11")
            names = self._pools(box, view, service)
        for edge in view.edges:
            self._inner_edge(names[edge.tail], names[edge.head], edge.kind)
        first, last = names[view.nodes[0].key][0], names[view.nodes[-1].key][0]
        return _Ends(first, last, cluster, view.is_layer), names

    def _folded(self, parent: graphviz.Digraph, view: SegmentView, service: ServiceView) -> _Ends:
        name = self._name("n")
        look = style.CRITICAL_NODE if view.critical else {}
        label = folded_label(view, first_open(service, view.kind))
        parent.node(name, label=label, shape="box", style="filled,rounded", fillcolor="white", peripheries="2", **look)
        return _Ends(name, name, None)

    def _pools(
        self, box: graphviz.Digraph, view: SegmentView, service: ServiceView
    ) -> dict[str, tuple[str, NodeView]]:
        """Nodes of the stage's own pool in the segment, those of another pool in a box of its tone."""
        own = view.nodes[0].one.team
        named = self._nodes(box, tuple(n for n in view.nodes if n.one.team.pool == own.pool), service)
        others = tuple(n for n in view.nodes if n.one.team.pool != own.pool)
        if not others:
            return named
        pool = others[0].one.team.pool
        with box.subgraph(name=self._name("cluster_pool")) as inner:
            tone = style.POOL_TONES[self._roles.get(pool, Role.EXPERTS)]
            inner.attr(label=pool_label(pool), style="filled,rounded", fillcolor=tone, color=style.LINE, fontsize="11")
            named |= self._nodes(inner, others, service)
        return named

    def _nodes(
        self, box: graphviz.Digraph, views: tuple[NodeView, ...], service: ServiceView
    ) -> dict[str, tuple[str, NodeView]]:
        named: dict[str, tuple[str, NodeView]] = {}
        for view in views:
            name = self._name("n")
            category = view.one.node.op.category
            fused = view.one.node.fused_into is not None
            look: dict[str, str] = style.SHAPES[category] | {"fillcolor": style.TONES[category]}
            look |= {"style": "filled,dotted"} if fused else {}
            look |= style.CRITICAL_NODE if view.critical else {}
            box.node(name, label=node_label(view), tooltip=node_tooltip(view, service.phases), **look)
            named[view.key] = (name, view)
        return named

    def _inner_edge(self, tail: tuple[str, NodeView], head: tuple[str, NodeView], kind: str) -> None:
        chosen = "choice" if kind == "data" and tail[1].one.node.op is ROUTER else kind
        look = style.CRITICAL_EDGE if tail[1].critical and head[1].critical and kind != "order" else {}
        self._edge(tail[0], head[0], chosen, **look)

    def _edge(self, tail: str, head: str, kind: str, **extra: Any) -> None:
        self._drawing.edge(tail, head, **(style.EDGES[kind] | extra))

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


def _note_messages(stage: _Stage, names: dict[str, tuple[str, NodeView]]) -> None:
    for name, view in names.values():
        node = view.one.node
        if node.op is SEND:
            stage.send = name
        elif node.communication and node.communication.pairing in (Pairing.STAGE, Pairing.STEP):
            stage.receives.append((name, node.communication.pairing))
