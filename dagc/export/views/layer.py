"""The layer view: every operator that a rank runs, once.

One layer of each kind is opened, with what comes before the layers, between stages, and after them; each in a column of
its own. What a column stands for is said in its head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dagc.export.opened import EdgeView, NodeView, SegmentView, StageView
from dagc.export.titles import time_text
from dagc.export.views.deployment import domain_text
from dagc.export.views.handover import crossing, handover_arrows, handover_cluster
from dagc.export.views.operators import operator_box
from dagc.export.views.scene import Scene, Served, slug
from dagc.export.views.thin import thinned
from dagc.export.views.view import Arrow, Box, Cluster, Distance, Line, View
from dagc.graph.ops import ROUTER
from dagc.plan.deployment import Role
from dagc.units import counted

MOST_COLUMNS = 24
"""Kinds of segments that are opened; of more, those in the middle are left out and counted."""


def layer_view(scene: Scene) -> View:
    """Operators of each kind of layer."""
    clusters: list[Cluster] = []
    arrows: list[Arrow] = []
    notes = list(scene.notes())
    for served in scene.served:
        shown = thinned(tuple(_columns(served)), MOST_COLUMNS)
        columns = [_Column(scene, served, one) for one in (*shown.first, *shown.last)]
        members = tuple(column.cluster() for column in columns)
        tops = tuple(name for column in columns for name in column.tops())
        lines = (served.heading, domain_text(served.service))
        clusters.append(Cluster(f"{slug(served.name)}.service", lines, members, beside=tops))
        arrows += [arrow for column in columns for arrow in column.arrows()]
        arrows += [_next(a, b) for a, b in pairwise(columns)]
        of = f"{served.name}: " if len(scene.served) > 1 else ""
        notes += [f"folded: {of}{one.title}, one is drawn" for one in (*shown.first, *shown.last) if one.count > 1]
        notes += [f"folded: {shown.hidden} more kinds of segments"] if shown.between else []
    if scene.handed is not None:
        clusters.insert(1, handover_cluster(scene.handed))
        arrows += [*handover_arrows(scene.handed), *(crossing(a, b) for a, b in pairwise(clusters))]
    others = scene.others(Distance.LAYER)
    return View(Distance.LAYER, scene.name, scene.title(), tuple(notes), tuple(clusters), tuple(arrows), others=others)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """What stands in a column: segments of one stage, one after the other, and the layers that it stands for."""

    kind: str
    title: str
    where: str
    count: int
    stage: StageView
    segments: tuple[SegmentView, ...]


def column_of(stage: StageView, segment: SegmentView) -> str:
    """The column in which a segment of a stage is opened: that of its kind, or the one before or after all layers."""
    if segment.is_layer:
        return segment.kind
    before, _ = _around(stage)
    return "before" if any(one is segment for one in before) else "after"


def _columns(served: Served) -> Iterator[_Opened]:
    """What is before the layers, each kind of layer, what goes between stages, what is after the layers."""
    stages = served.view.stages
    first, last = stages[0], stages[-1]
    before, _ = _around(first)
    _, after = _around(last)
    if before:
        yield _Opened("before", "before the layers", first.title, 1, first, before)
    for stage in stages:
        for segment in stage.segments:
            if segment.is_layer and segment.nodes:
                count = _count(served, segment.kind)
                times = f", ×{count}" if count > 1 else ""
                yield _Opened(segment.kind, f"{segment.kind} layer{times}", stage.title, count, stage, (segment,))
    if first is not last or first.count > 1:
        yield from _between(served)
    if after:
        yield _Opened("after", "after the layers", last.title, 1, last, after)


def _around(stage: StageView) -> tuple[tuple[SegmentView, ...], tuple[SegmentView, ...]]:
    """Segments before and after the layers of a stage, without the messages between stages."""
    layers = [index for index, segment in enumerate(stage.segments) if segment.is_layer] or [len(stage.segments)]
    own = [None if _is_message(segment) else segment for segment in stage.segments]
    before, after = own[: layers[0]], own[layers[-1] + 1 :]
    return tuple(s for s in before if s), tuple(s for s in after if s)


def _between(served: Served) -> Iterator[_Opened]:
    """The send of one stage and the receive of the next, once."""
    found: dict[str, tuple[StageView, SegmentView]] = {}
    for stage in served.view.stages:
        for segment in stage.segments:
            if _is_message(segment):
                found.setdefault(segment.kind, (stage, segment))
    if found:
        ordered = sorted(found.items(), key=lambda one: not one[1][1].nodes[0].key.endswith("send"))
        stage = ordered[0][1][0]
        times = counted(served.service.stages - 1, "time")
        yield _Opened("messages", "between stages", times, 1, stage, tuple(s for _, (_, s) in ordered))


def _is_message(segment: SegmentView) -> bool:
    return len(segment.nodes) == 1 and segment.nodes[0].key.startswith("pipeline.")


def _count(served: Served, kind: str) -> int:
    """Layers of a kind in all stages."""
    stages = served.view.stages
    return sum(segment.count * stage.count for stage in stages for segment in stage.segments if segment.kind == kind)


class _Column:
    """A column on its way into the view."""

    def __init__(self, scene: Scene, served: Served, opened: _Opened) -> None:
        self._scene = scene
        self._served = served
        self._opened = opened
        self.anchor = served.layer_anchor(opened.kind)
        self._names = {
            (index, node.key): f"{self.anchor}.{slug(segment.kind)}.{slug(node.key)}"
            for index, segment in enumerate(opened.segments)
            for node in segment.nodes
        }

    def cluster(self) -> Cluster:
        opened = self._opened
        lines = [opened.title, f"as in {opened.where}" if opened.count > 1 else opened.where]
        if len(opened.segments) == 1:
            lines.append(_copy_times(opened.segments[0]))
        members = tuple(
            member for index, segment in enumerate(opened.segments) for member in self._members(index, segment)
        )
        link = self._scene.link(Distance.STAGE, self._served.stage_anchor(opened.stage.teams[0].stage))
        return Cluster(
            self.anchor,
            tuple(lines),
            members,
            role=self._served.service.pools[0].role,
            hover=("open the stage view",),
            link=link,
            folded=opened.count > 1,
        )

    def _members(self, index: int, segment: SegmentView) -> Iterator[Box | Cluster]:
        """Operators of the stage's own pool, and those of another pool in a frame of its tone."""
        own = self._opened.stage.teams[0].pool
        yield from (self._box(index, node) for node in segment.nodes if node.one.team.pool == own)
        others = tuple(self._box(index, node) for node in segment.nodes if node.one.team.pool != own)
        if others:
            pool = next(node.one.team.pool for node in segment.nodes if node.one.team.pool != own)
            yield Cluster(f"{self.anchor}.{slug(segment.kind)}.pool", (f"pool {pool}",), others, role=Role.EXPERTS)

    def _box(self, index: int, node: NodeView) -> Box:
        is_expert = ".experts." in node.key or node.key.endswith(("dispatch", "combine"))
        link = self._scene.link(Distance.RANK, f"{slug(self._served.name)}.ranks") if is_expert else ""
        return operator_box(self._names[index, node.key], node, self._served.view.phases, link)

    def arrows(self) -> list[Arrow]:
        found: list[Arrow] = []
        for index, segment in enumerate(self._opened.segments):
            by_key = {node.key: node for node in segment.nodes}
            found += [self._arrow(index, edge, by_key[edge.tail]) for edge in segment.edges]
        for (i, before), (j, after) in pairwise(enumerate(self._opened.segments)):
            tail, head = before.nodes[-1], after.nodes[0]
            line = Line.MESSAGE if _is_message(before) else Line.SEQUENCE
            both = tail.critical and head.critical
            found.append(Arrow(self._names[i, tail.key], self._names[j, head.key], line, critical=both))
        return found

    def _arrow(self, index: int, edge: EdgeView, tail: NodeView) -> Arrow:
        line = _LINES[edge.kind]
        if line is Line.DATA and tail.one.node.op is ROUTER:
            line = Line.CHOICE
        names = self._names
        return Arrow(names[index, edge.tail], names[index, edge.head], line, critical=edge.critical)

    def tops(self) -> tuple[str, ...]:
        """Boxes that wait for no other of the column."""
        heads = {arrow.head for arrow in self.arrows()}
        return tuple(name for name in self._names.values() if name not in heads)

    @property
    def critical(self) -> bool:
        """Whether the critical path goes through the column."""
        return any(segment.critical for segment in self._opened.segments)


_LINES = {"data": Line.DATA, "order": Line.ORDER, "transfer": Line.MESSAGE}


def _next(before: _Column, after: _Column) -> Arrow:
    """From frame to frame, at the height of the first boxes."""
    both = before.critical and after.critical
    tail, head = before.tops()[-1], after.tops()[0]
    return Arrow(tail, head, Line.SEQUENCE, critical=both, orders=False, leaves=before.anchor, enters=after.anchor)


def _copy_times(segment: SegmentView) -> str:
    times = " | ".join("–" if value is None else time_text(value) for value in segment.copy_ps)
    return f"{times} each" if segment.count > 1 else times
