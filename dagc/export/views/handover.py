"""The KV-cache transfer: what crosses, in words for every view, and in the layer view the send of each prefill
stage and the receives that meet it.
"""

from __future__ import annotations

from dagc.export.opened import SegmentView, ServiceView
from dagc.export.titles import time_text
from dagc.export.views.operator_table import Rows, operator_table
from dagc.export.views.scene import HANDOVER
from dagc.export.views.view import Arrow, Box, Cluster, Line, Shape
from dagc.export.views.work import sent_by
from dagc.ops.message import Send
from dagc.timeline.timeline import Timeline
from dagc.units import format_bytes

_HEADING = ("KV-cache transfer", "from prefill to decode")


def crossing_text(timeline: Timeline) -> tuple[str, str, str]:
    """The cache that crosses; its bytes are those of the replicas that take part together."""
    graph = timeline.priced.graph
    moved = sum(sent_by(timeline, program.stage, (Send,)) for program in graph.programs[0])
    return "KV cache", f"{format_bytes(moved)} for {graph.sequences[0]} sequences", f"in {time_text(timeline.makespan)}"


def crossing(before: Cluster, after: Cluster) -> Arrow:
    """From the frame of a service, or of what is between two, to the next, at the height of boxes in them."""
    ends = before.beside[-1], after.beside[0]
    return Arrow(*ends, Line.MESSAGE, orders=False, leaves=before.name, enters=after.name)


def handover_card(view: ServiceView, timeline: Timeline, link: str) -> Cluster:
    """All of it in one box; `link` leads to its operators."""
    critical = any(segment.critical for stage in view.stages for segment in stage.segments)
    name, hover = f"{HANDOVER}.cache", ("KV-cache transfer: open the layer view",)
    card = Box(name, Shape.CARD, crossing_text(timeline), hover=hover, link=link, critical=critical)
    return Cluster(HANDOVER, _HEADING, (card,), beside=(name,))


def handover_cluster(view: ServiceView, marks: bool) -> Cluster:
    """Its operators, a table for each stage; the critical path is marked where `marks`."""
    stages = tuple(
        Cluster(f"{HANDOVER}.{index}", (stage.title,), (_table(index, segment, marks),), folded=stage.count > 1)
        for index, stage in enumerate(view.stages)
        for segment in stage.segments
    )
    tops = tuple(stage.members[0].name for stage in stages)
    return Cluster(HANDOVER, _HEADING, stages, beside=tops)


def _table(index: int, segment: SegmentView, marks: bool) -> Box:
    rows = Rows("operator", segment.nodes, segment.edges)
    return operator_table(f"{HANDOVER}.{index}.operators", rows, ("time",), None, marks=marks)
