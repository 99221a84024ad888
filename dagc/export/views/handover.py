"""The hand-over of the KV cache in the layer view: the send of each prefill stage and the receives that meet it."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.opened import SegmentView, ServiceView
from dagc.export.views.operators import operator_box
from dagc.export.views.scene import HANDOVER, slug
from dagc.export.views.view import Arrow, Box, Cluster, Line


def handover_cluster(view: ServiceView) -> Cluster:
    """Its operators, stage by stage."""
    stages = tuple(
        Cluster(
            f"{HANDOVER}.{index}", (stage.title,), tuple(_boxes(index, segment, view.phases)), folded=stage.count > 1
        )
        for index, stage in enumerate(view.stages)
        for segment in stage.segments
    )
    tops = tuple(stage.members[0].name for stage in stages)
    return Cluster(HANDOVER, ("hand-over of the KV cache", "from prefill to decode"), stages, beside=tops)


def handover_arrows(view: ServiceView) -> Iterator[Arrow]:
    """From each send to its receive."""
    for index, stage in enumerate(view.stages):
        for segment in stage.segments:
            for edge in segment.edges:
                line = Line.ORDER if edge.kind == "order" else Line.MESSAGE
                yield Arrow(_name(index, edge.tail), _name(index, edge.head), line, critical=edge.critical)


def _boxes(index: int, segment: SegmentView, phases: tuple[str, ...]) -> Iterator[Box]:
    return (operator_box(_name(index, node.key), node, phases) for node in segment.nodes)


def _name(index: int, key: str) -> str:
    return f"{HANDOVER}.{index}.{slug(key)}"
