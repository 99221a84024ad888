"""A compiled strategy as a Graphviz drawing: stages side by side, one layer of each kind opened.

Services, stages, segments and pools are nested clusters. Computation is a box, communication an ellipse, routing and
aggregation a parallelogram; the choice of experts is a dashed edge; the critical path has thick lines of its own
colour. What is folded says so. All text of a plan is escaped. Layout is left to the renderer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from dagc.export import dot_style as style
from dagc.export.canvas import Canvas, new_canvas
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
from dagc.export.dot_view import EdgeView, NodeView, SegmentView, ServiceView, StageView, first_open, services
from dagc.graph.graph import Graph, Pairing
from dagc.graph.ops import KV_READ, KV_WRITE, RECEIVE, ROUTER, SEND
from dagc.plan.deployment import Role
from dagc.plan.plan import Plan
from dagc.timeline.timeline import Timeline


def to_dot(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> str:
    """DOT text of the strategy; `timelines` in the order of `graph.phases`."""
    drawing = new_canvas("dagc", style.GRAPH, style.NODE, style.EDGE)
    drawing.attr(label=title(plan, graph, timelines), tooltip=style.plain(plan.name))
    roles = {pool.name: pool.role for service in plan.deployment.services for pool in service.pools}
    sketch = _Sketch(drawing, roles)
    drawn = [sketch.service(service) for service in services(graph, timelines)]
    for (before, _), (after, _) in pairwise(drawn):
        sketch.join_services(before, after)
    top = [point for _, points in drawn for point in points]
    add_legend(drawing, sketch.row(drawing, top), roles)
    return drawing.source


_Named = dict[str, tuple[str, NodeView]]
"""Drawn nodes of a segment by key, with the names that the drawing gives them."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A drawn segment: nodes that wait for no other of it, its last node, and its cluster where it has one."""

    sources: tuple[str, ...]
    last: str
    cluster: str | None
    is_column: bool
    names: _Named


@dataclass(slots=True)
class _Stage:
    """A drawn stage: the node on top, and those that meet other stages and services.

    The cache is written by nodes that say so, and by layers that are folded.
    """

    top: str
    sends: list[str] = field(default_factory=list[str])
    receives: list[tuple[str, Pairing]] = field(default_factory=list[tuple[str, Pairing]])
    cache_writes: list[str] = field(default_factory=list[str])
    cache_reads: list[str] = field(default_factory=list[str])


class _Sketch:
    """Adds parts to one drawing and numbers them."""

    def __init__(self, drawing: Canvas, roles: dict[str, Role]) -> None:
        self._drawing = drawing
        self._roles = roles
        self._count = 0
        self._critical: set[str] = set()

    def service(self, view: ServiceView) -> tuple[list[_Stage], list[str]]:
        """One service: its stages with the messages between them, and the points over them."""
        with self._drawing.box(name=self._name("cluster_service")) as box:
            box.attr(label=service_label(view), style="rounded", color=style.LINE, fontsize="14", margin="14")
            stages = [self._stage(box, stage, view) for stage in view.stages]
            points = self.row(box, [stage.top for stage in stages])
        for before, after in pairwise(stages):
            self._messages(before, after, Pairing.STAGE, "transfer")
        self._messages(stages[-1], stages[0], Pairing.STEP, "order", label="next step", constraint="false")
        return stages, points

    def join_services(self, before: list[_Stage], after: list[_Stage]) -> None:
        """The KV cache crosses: from where it is written to the hand-over, from there to where it is read."""
        tails = before[-1].cache_writes or [name for name, _ in before[-1].receives]
        heads = after[0].cache_reads or after[0].sends
        if tails and heads:
            self._edge(tails[-1], heads[0], "transfer", constraint="false", label="KV cache")

    def row(self, box: Canvas, nodes: list[str]) -> list[str]:
        """Nodes of different clusters beside each other, in this order.

        Graphviz keeps an order of nodes only within one cluster, so that invisible points in `box` hold it, one above
        each node; the points are returned.
        """
        points = [self._name("p") for _ in nodes]
        for kind, row in (("point", points), (None, nodes)):
            with box.box() as same:
                same.attr(rank="same")
                for name in row:
                    same.node(name, **({"shape": kind, "style": "invis", "width": "0.01"} if kind else {}))
        for left, right in pairwise(points):
            box.edge(left, right, style="invis")
        for point, node in zip(points, nodes, strict=True):
            box.edge(point, node, style="invis", weight="100")
        return points

    def _messages(self, before: _Stage, after: _Stage, pairing: Pairing, kind: str, **extra: str) -> None:
        """Arrows up to the top of the next stage; drawn from their heads, because Graphviz lays out edges downwards."""
        for receive, met in after.receives:
            if met is pairing and before.sends:
                self._edge(receive, before.sends[-1], kind, dir="back", weight="0", **extra)

    def _stage(self, parent: Canvas, view: StageView, service: ServiceView) -> _Stage:
        with parent.box(name=self._name("cluster_stage")) as box:
            tone = style.POOL_TONES[self._roles.get(view.teams[0].pool, Role.ALL)]
            look = {"style": "filled,rounded", "fillcolor": tone, "color": style.LINE}
            box.attr(label=stage_label(view), margin="10", fontsize="12", **look)
            parts = [self._segment(box, segment, service) for segment in view.segments]
            self._sequence(box, parts)
        stage = _Stage(parts[0].sources[0])
        for part, segment in zip(parts, view.segments, strict=True):
            if not segment.nodes:
                stage.cache_writes.append(part.last)
            _note_messages(stage, part.names)
        return stage

    def _sequence(self, box: Canvas, parts: list[_Part]) -> None:
        """Segments in order: small ones below each other, each opened layer after the first in a column of its own."""
        columns: list[_Part] = []
        for index, part in enumerate(parts):
            if index:
                self._follow(parts[index - 1], part, beside=part.is_column and bool(columns))
            if part.is_column:
                columns.append(part)
        if len(columns) > 1:
            self.row(box, [source for part in columns for source in part.sources])

    def _follow(self, before: _Part, after: _Part, beside: bool) -> None:
        extra = {"constraint": "false"} if beside else {}
        extra |= {"ltail": before.cluster} if before.cluster else {}
        extra |= {"lhead": after.cluster} if after.cluster else {}
        self._edge(before.last, after.sources[0], "sequence", **extra)
        for source in () if beside else after.sources[1:]:
            self._drawing.edge(before.last, source, style="invis")

    def _segment(self, parent: Canvas, view: SegmentView, service: ServiceView) -> _Part:
        if not view.nodes:
            name = self._folded(parent, view, service)
            return _Part((name,), name, None, False, {})
        if len(view.nodes) == 1:
            names = self._nodes(parent, view.nodes, service)
            name = names[view.nodes[0].key][0]
            return _Part((name,), name, None, False, names)
        cluster = self._name("cluster_segment")
        with parent.box(name=cluster) as box:
            look = {"style": "filled,rounded", "fillcolor": "white", "color": style.LINE}
            box.attr(label=segment_label(view), margin="8", fontsize="11", **look)
            names = self._pools(box, view, service)
        for edge in view.edges:
            self._inner_edge(names[edge.tail], names[edge.head], edge)
        heads = {edge.head for edge in view.edges}
        sources = tuple(names[node.key][0] for node in view.nodes if node.key not in heads)
        return _Part(sources, names[view.nodes[-1].key][0], cluster, view.is_layer, names)

    def _folded(self, parent: Canvas, view: SegmentView, service: ServiceView) -> str:
        name = self._name("n")
        if view.critical:
            self._critical.add(name)
        look = style.CRITICAL_NODE if view.critical else {}
        label = folded_label(view, first_open(service, view.kind))
        parent.node(name, label=label, shape="box", style="filled,rounded", fillcolor="white", peripheries="2", **look)
        return name

    def _pools(self, box: Canvas, view: SegmentView, service: ServiceView) -> _Named:
        """Nodes of the stage's own pool in the segment, those of another pool in a box of its tone."""
        own = view.nodes[0].one.team
        named = self._nodes(box, tuple(n for n in view.nodes if n.one.team.pool == own.pool), service)
        others = tuple(n for n in view.nodes if n.one.team.pool != own.pool)
        if not others:
            return named
        pool = others[0].one.team.pool
        with box.box(name=self._name("cluster_pool")) as inner:
            tone = style.POOL_TONES[self._roles.get(pool, Role.EXPERTS)]
            inner.attr(label=pool_label(pool), style="filled,rounded", fillcolor=tone, color=style.LINE, fontsize="11")
            named |= self._nodes(inner, others, service)
        return named

    def _nodes(self, box: Canvas, views: tuple[NodeView, ...], service: ServiceView) -> _Named:
        named: _Named = {}
        for view in views:
            name = self._name("n")
            category = view.one.node.op.category
            fused = view.one.node.fused_into is not None
            look: dict[str, str] = style.SHAPES[category] | {"fillcolor": style.TONES[category]}
            look |= {"style": "filled,dotted"} if fused else {}
            look |= style.CRITICAL_NODE if view.critical else {}
            box.node(name, label=node_label(view), tooltip=node_tooltip(view, service.phases), **look)
            named[view.key] = (name, view)
            if view.critical:
                self._critical.add(name)
        return named

    def _inner_edge(self, tail: tuple[str, NodeView], head: tuple[str, NodeView], edge: EdgeView) -> None:
        kind = "choice" if edge.kind == "data" and tail[1].one.node.op is ROUTER else edge.kind
        look = style.CRITICAL_EDGE if edge.critical else {}
        self._drawing.edge(tail[0], head[0], **(style.EDGES[kind] | look))

    def _edge(self, tail: str, head: str, kind: str, **extra: str) -> None:
        """An edge between segments; the critical path enters and leaves a segment by its ends."""
        both = tail in self._critical and head in self._critical and kind != "order"
        self._drawing.edge(tail, head, **(style.EDGES[kind] | (style.CRITICAL_EDGE if both else {}) | extra))

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


def _note_messages(stage: _Stage, names: _Named) -> None:
    for name, view in names.values():
        node = view.one.node
        if node.op is SEND:
            stage.sends.append(name)
        elif node.op is KV_WRITE:
            stage.cache_writes.append(name)
        elif node.op is KV_READ:
            stage.cache_reads.append(name)
        elif node.op is RECEIVE and node.communication and node.communication.pairing:
            stage.receives.append((name, node.communication.pairing))
