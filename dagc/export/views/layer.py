"""The layer view: every operator that a rank runs, once, on one page.

One layer of each kind is opened, attention beside FFN or experts, each a table; below are what comes before the layers,
between stages and after them. A table that equals one above is named instead. What a frame shows is said in its head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dagc.export.titles import time_text
from dagc.export.view_model import EdgeView, NodeView, SegmentView, ServiceView, StageView
from dagc.export.views.critical import nearly_all, share_text
from dagc.export.views.deployment import domain_text
from dagc.export.views.operator_table import OperatorRows, ShapesKey, longest_times, operator_table, phase_text
from dagc.export.views.strategy import HANDOVER, HANDOVER_HEADING, Served, StrategyView, crossing, slug, thinned
from dagc.export.views.view import Arrow, ArrowKind, Box, Cluster, Distance, Sign, View
from dagc.units import counted

MOST_COLUMNS = 24
"""Kinds of segments that are opened; of more, those in the middle are left out and counted."""

_LINE = 180
"""Characters of a line of the key to shapes, on a whole page."""

_PAGE = 1150.0
"""Width of a page in points: on A4 or Letter in landscape, letters of 10 points are printed as 7."""


def layer_view(strategy: StrategyView) -> View:
    """Operators of each kind of layer."""
    clusters: list[Cluster] = []
    arrows: list[Arrow] = []
    notes = list(strategy.notes())
    critical = _critical(strategy)
    if nearly_all(critical):
        notes.append(share_text(critical, "operator"))
    for served in strategy.served:
        shown = thinned(tuple(_columns(served)), MOST_COLUMNS)
        drawn = _Drawn(strategy, served, marks=not nearly_all(critical))
        frames = sorted((*shown.first, *shown.last), key=lambda frame: -frame.count)
        clusters_of_frames = [drawn.cluster(frame) for frame in frames]
        key = drawn.key.lines(_LINE if strategy.handover_view is None else _LINE // 2)
        lines = (served.heading, domain_text(served.service), *key)
        members = tuple(frame for frame in clusters_of_frames if frame.members)
        chain = tuple(frame.members[0].name for frame in members)
        clusters.append(Cluster(f"{slug(served.name)}.service", lines, members, beside=chain[:1], chains=(chain,)))
        arrows += drawn.arrows
        of = f"{served.name}: " if len(strategy.served) > 1 else ""
        notes += [f"folded: {of}{frame.title}, one is drawn" for frame in frames if frame.count > 1]
        notes += [f"folded: {shown.hidden} more kinds of segments"] if shown.between else []
    if strategy.handover_view is not None:
        clusters.insert(1, _handover(strategy.handover_view, marks=not nearly_all(critical)))
        arrows += [crossing(a, b) for a, b in pairwise(clusters)]
    others = strategy.others(Distance.LAYER)
    head = Distance.LAYER, strategy.name, strategy.title(), tuple(notes)
    return View(*head, tuple(clusters), tuple(arrows), others=others, page=_PAGE)


def _critical(strategy: StrategyView) -> list[bool]:
    """Whether each operator that has a time of its own is on the critical path."""
    return [
        node.critical
        for served in strategy.served
        for frame in _columns(served)
        for segment in frame.segments
        for node in segment.nodes
        if node.one.node.fused_into is None
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """What a frame shows: segments of one stage, one after the other, and how many layers are alike."""

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


def _columns(served: Served) -> Iterator[_Frame]:
    """What is before the layers, each kind of layer, what goes between stages, what is after the layers."""
    stages = served.view.stages
    first, last = stages[0], stages[-1]
    before, _ = _around(first)
    _, after = _around(last)
    if before:
        yield _Frame("before", "before the layers", first.title, 1, first, before)
    for stage in stages:
        for segment in stage.segments:
            if segment.is_layer and segment.nodes:
                count = _count(served, segment.kind)
                times = f", ×{count}" if count > 1 else ""
                yield _Frame(segment.kind, f"{segment.kind} layer{times}", stage.title, count, stage, (segment,))
    if first is not last or first.count > 1:
        yield from _between(served)
    if after:
        yield _Frame("after", "after the layers", last.title, 1, last, after)


def _around(stage: StageView) -> tuple[tuple[SegmentView, ...], tuple[SegmentView, ...]]:
    """Segments before and after the layers of a stage, without the messages between stages."""
    layers = [index for index, segment in enumerate(stage.segments) if segment.is_layer] or [len(stage.segments)]
    own = [None if _is_message(segment) else segment for segment in stage.segments]
    before, after = own[: layers[0]], own[layers[-1] + 1 :]
    return tuple(s for s in before if s), tuple(s for s in after if s)


def _between(served: Served) -> Iterator[_Frame]:
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
        yield _Frame("messages", "between stages", times, 1, stage, tuple(s for _, (_, s) in ordered))


def _is_message(segment: SegmentView) -> bool:
    return len(segment.nodes) == 1 and segment.nodes[0].key.startswith("pipeline.")


def _count(served: Served, kind: str) -> int:
    """Layers of a kind in all stages."""
    stages = served.view.stages
    return sum(segment.count * stage.count for stage in stages for segment in stage.segments if segment.kind == kind)


class _Drawn:
    """The frames of a service: tables are remembered, so that the next one like it can be named instead."""

    def __init__(self, strategy: StrategyView, served: Served, marks: bool) -> None:
        self._strategy = strategy
        self._served = served
        self._marks = marks
        self._known: dict[tuple[object, ...], str] = {}
        self.key = ShapesKey(served.view.phases)
        self.arrows: list[Arrow] = []

    def cluster(self, frame: _Frame) -> Cluster:
        anchor = self._served.layer_anchor(frame.kind)
        is_layer = len(frame.segments) == 1 and frame.segments[0].is_layer
        if is_layer:
            boxes, lines = self._layer(anchor, frame)
        else:
            boxes, lines = (self._table(f"{anchor}.operators", _rows(frame)),), ()
        stage = self._served.stage_anchor(frame.stage.teams[0].stage)
        where = f"as in {frame.where}" if frame.count > 1 else frame.where
        return Cluster(
            anchor,
            (f"{frame.title} · {where}", *lines),
            boxes,
            role=self._served.service.pools[0].role,
            hover=("open the stage view",),
            link=self._strategy.link(Distance.STAGE, stage),
            folded=frame.count > 1,
        )

    def _layer(self, anchor: str, frame: _Frame) -> tuple[tuple[Box, ...], tuple[str, ...]]:
        """Tables of a layer, those drawn before left out, and lines about it."""
        (segment,) = frame.segments
        longest = longest_times(segment.nodes)
        boxes: list[Box] = []
        lines = [_copy_times(segment, self._served.view.phases)]
        for index, half in enumerate(_halves(segment)):
            box = self._table(f"{anchor}.{index}", half, longest)
            content = (half.head, *box.hovers)
            known = self._known.get(content)
            if known:
                lines.append(f"{half.head}: as in the {known}")
                continue
            self._known[content] = frame.title.partition(",")[0]
            boxes.append(box)
        for before, after in pairwise(boxes):
            ends = before.columns[0].cells[-1], after.columns[0].cells[0]
            both = all(isinstance(sign, Sign) and sign.critical for sign in ends)
            self.arrows.append(Arrow(before.name, after.name, ArrowKind.DATA, critical=both))
        return tuple(boxes), tuple(lines)

    def _table(self, name: str, rows: OperatorRows, longest: tuple[int, ...] = ()) -> Box:
        has_experts = any(".experts." in node.key for node in rows.nodes)
        link = self._strategy.link(Distance.RANK, f"{slug(self._served.name)}.ranks") if has_experts else ""
        return operator_table(name, rows, self._served.view.phases, self.key, link, longest, self._marks)


def _rows(frame: _Frame) -> OperatorRows:
    """All segments, one after the other; the last operator of each hands over to the first of the next."""
    nodes = tuple(node for segment in frame.segments for node in segment.nodes)
    edges = [edge for segment in frame.segments for edge in segment.edges]
    for before, after in pairwise(frame.segments):
        tail, head = before.nodes[-1], after.nodes[0]
        kind = "transfer" if _is_message(before) else "data"
        edges.append(EdgeView(tail.key, head.key, kind, tail.critical and head.critical))
    return OperatorRows("operator", nodes, tuple(edges))


def _halves(segment: SegmentView) -> tuple[OperatorRows, ...]:
    """A layer's attention or mixer, and its FFN or experts."""
    cut = next((i for i, node in enumerate(segment.nodes) if node.key.partition(".")[0] in _SECOND), 0)
    parts = (segment.nodes[:cut], segment.nodes[cut:])
    return tuple(_half(part, segment.edges) for part in parts if part)


_SECOND = ("ffn", "moe")


def _half(nodes: tuple[NodeView, ...], edges: tuple[EdgeView, ...]) -> OperatorRows:
    """A part of a layer under the first word of its operators' names."""
    words = {node.key.partition(".")[0] for node in nodes}
    first = words.pop() if len(words) == 1 else ""
    return OperatorRows(_HEADS.get(first, first) or "operator", nodes, edges, first)


_HEADS = {"ffn": "FFN", "moe": "MoE"}


def _copy_times(segment: SegmentView, phases: tuple[str, ...]) -> str:
    times = tuple("" if value is None else time_text(value) for value in segment.copy_ps)
    return f"{phase_text(phases, times)} per layer"


def _handover(view: ServiceView, marks: bool) -> Cluster:
    """Its operators, a table for each stage; the critical path is marked where `marks`."""
    stages = tuple(
        Cluster(f"{HANDOVER}.{index}", (stage.title,), (_transfers(index, segment, marks),), folded=stage.count > 1)
        for index, stage in enumerate(view.stages)
        for segment in stage.segments
    )
    tops = tuple(stage.members[0].name for stage in stages)
    return Cluster(HANDOVER, HANDOVER_HEADING, stages, beside=tops)


def _transfers(index: int, segment: SegmentView, marks: bool) -> Box:
    rows = OperatorRows("operator", segment.nodes, segment.edges)
    return operator_table(f"{HANDOVER}.{index}.operators", rows, ("time",), None, marks=marks)
