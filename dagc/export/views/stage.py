"""The stage view: what each stage does for one micro-batch, its layers folded as ×n.

Stages that are alike are one; a run of layers of one kind is one card with its time and what bounds it.
"""

from __future__ import annotations

from itertools import pairwise

from dagc.export.titles import rank_text, time_text
from dagc.export.view_model import SegmentView, ServiceView, StageView
from dagc.export.views.layer import column_of
from dagc.export.views.operator_table import operator_chip, phase_text
from dagc.export.views.strategy import (
    HANDOVER,
    HANDOVER_HEADING,
    Served,
    StrategyView,
    Thinned,
    crossing,
    crossing_text,
    slug,
    thinned,
)
from dagc.export.views.view import Arrow, ArrowKind, Box, BoxShape, Cluster, Distance, View, Words
from dagc.export.views.work import WorkByBound, added, passages, segment_work
from dagc.schedule.timeline import Timeline
from dagc.units import counted, format_bytes, format_gpus

MOST_STAGES = 24
"""Different stages of a service that are drawn; of more, those in the middle are folded."""

MOST_SEGMENTS = 60
"""Cards of a stage; of more, those in the middle are folded."""


def stage_view(strategy: StrategyView) -> View:
    """Stages with their segments."""
    clusters: list[Cluster] = []
    arrows: list[Arrow] = []
    notes = list(strategy.notes())
    for served in strategy.served:
        shown = thinned(served.view.stages, MOST_STAGES)
        passed = [passages(timeline) for _, timeline in served.phases]
        stages = [_Stage(strategy, served, view, passed) for view in (*shown.first, *shown.last)]
        tops = tuple(stage.boxes[0].name for stage in stages)
        lines = (served.heading, _micro_batches(served))
        members = tuple(stage.cluster() for stage in stages)
        clusters.append(Cluster(f"{slug(served.name)}.service", lines, members, beside=tops))
        arrows += [arrow for stage in stages for arrow in stage.arrows()]
        arrows += [_message(a, b) for a, b in pairwise(stages)]
        notes += _folds(served, shown)
    if strategy.handover_view is not None and strategy.handover is not None:
        between = _handover(strategy.handover_view, strategy.handover, strategy.link(Distance.LAYER, HANDOVER))
        clusters.insert(1, between)
        arrows += [crossing(a, b) for a, b in pairwise(clusters)]
    others = strategy.others(Distance.STAGE)
    return View(
        Distance.STAGE, strategy.name, strategy.title(), tuple(notes), tuple(clusters), tuple(arrows), others=others
    )


class _Stage:
    """A stage on its way into the view."""

    def __init__(
        self, strategy: StrategyView, served: Served, view: StageView, passed: list[dict[tuple[int, int], int]]
    ) -> None:
        self._strategy = strategy
        self._served = served
        self._view = view
        self._passages = passed
        self._stage = view.teams[0].stage
        self.anchor = served.stage_anchor(self._stage)
        cut = thinned(view.segments, MOST_SEGMENTS)
        self.segments = (*cut.first, *cut.last)
        names = [f"{self.anchor}.{index}" for index in range(len(self.segments))]
        self.boxes = tuple(self._box(name, one) for name, one in zip(names, self.segments, strict=True))

    def cluster(self) -> Cluster:
        each = " in the first" if self._view.count > 1 else ""
        pools = tuple(f"pool {t.pool}: {format_gpus(t.width)}, {rank_text(t.ranks)}{each}" for t in self._view.teams)
        where = self._strategy.link(Distance.DEPLOYMENT, self.anchor)
        role = self._served.service.pools[0].role
        folded = self._view.count > 1
        return Cluster(
            self.anchor, (self._view.title, *pools), self.boxes, role, ("open the deployment view",), where, folded
        )

    def arrows(self) -> list[Arrow]:
        return [
            Arrow(a.name, b.name, ArrowKind.SEQUENCE, critical=a.critical and b.critical)
            for a, b in pairwise(self.boxes)
        ]

    def _box(self, name: str, segment: SegmentView) -> Box:
        if len(segment.nodes) == 1 and segment.nodes[0].one.node.communication is not None:
            return operator_chip(name, segment.nodes[0], self._served.view.phases)
        lines: list[Words] = [segment.title]
        for index, (phase, timeline) in enumerate(self._served.phases):
            work = self._work(timeline, segment, index)
            picoseconds = sum(self._passages[index].get((self._stage, place[index]), 0) for place in segment.places)
            if work.picoseconds:
                time_line = _time_text(phase, picoseconds, segment)
                lines += [time_line, work.bar(), work.shares(), *_sent(work, segment)]
        return Box(
            name,
            BoxShape.CARD,
            tuple(lines),
            hover=(f"{segment.title}: open the layer view",),
            link=self._strategy.link(Distance.LAYER, self._served.layer_anchor(column_of(self._view, segment))),
            critical=segment.critical,
            folded=segment.count > 1,
        )

    def _work(self, timeline: Timeline, segment: SegmentView, phase: int) -> WorkByBound:
        program = timeline.priced.graph.programs[0][self._stage]
        places = [place[phase] for place in segment.places if place[phase] >= 0]
        return added(segment_work(timeline, program, program.segments[place]) for place in places)


def _time_text(phase: str, picoseconds: int, segment: SegmentView) -> str:
    if segment.count == 1:
        return f"{phase}: {time_text(picoseconds)}"
    return f"{phase}: {time_text(picoseconds)}, {time_text(picoseconds / segment.count)} {_each(segment)}"


def _each(segment: SegmentView) -> str:
    return "per layer" if segment.is_layer else "each"


def _sent(work: WorkByBound, segment: SegmentView) -> tuple[str, ...]:
    each = f" {_each(segment)}" if segment.count > 1 else ""
    return (f"{format_bytes(work.sent_bytes / segment.count)} exchanged{each}",) if work.sent_bytes else ()


def _message(before: _Stage, after: _Stage) -> Arrow:
    """From frame to frame, at the height of the first boxes."""
    both = before.boxes[-1].critical and after.boxes[0].critical
    tail, head = before.boxes[0].name, after.boxes[0].name
    return Arrow(tail, head, ArrowKind.MESSAGE, critical=both, orders=False, leaves=before.anchor, enters=after.anchor)


def _micro_batches(served: Served) -> str:
    """How many, and of how many sequences."""
    sizes = tuple(
        f"{counted(len(line.priced.graph.micro_batches), 'micro-batch', 'es')} of "
        f"{counted(line.priced.graph.sequences[0], 'sequence')}"
        for _, line in served.phases
    )
    several = any(len(line.priced.graph.micro_batches) > 1 for _, line in served.phases)
    return phase_text(served.view.phases, sizes) + ("; one is shown" if several else "")


def _folds(served: Served, shown: Thinned[StageView]) -> list[str]:
    notes = [f"folded: {view.title}" for view in shown.first + shown.last if view.count > 1]
    if shown.between:
        notes.append(f"folded: {shown.hidden} different stages in the middle, because the picture would be too large")
    for view in shown.first + shown.last:
        hidden = len(view.segments) - MOST_SEGMENTS
        if hidden > 0:
            notes.append(f"folded: {hidden} segments in the middle of {view.title}")
    return notes


def _handover(view: ServiceView, timeline: Timeline, link: str) -> Cluster:
    """All of it in one box; `link` leads to its operators."""
    critical = any(segment.critical for stage in view.stages for segment in stage.segments)
    name, hover = f"{HANDOVER}.cache", ("KV-cache transfer: open the layer view",)
    card = Box(name, BoxShape.CARD, crossing_text(timeline), hover=hover, link=link, critical=critical)
    return Cluster(HANDOVER, HANDOVER_HEADING, (card,), beside=(name,))
