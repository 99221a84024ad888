"""What stands in the boxes of the picture: shapes, GPUs and times, for one phase or for two side by side.

Where a service does both phases, `a | b` is the value in prefill and in decode.
"""

from __future__ import annotations

import textwrap

from dagc.export.dot_style import heading, lines, named
from dagc.export.dot_view import NodeView, SegmentView, ServiceView, Shown, StageView
from dagc.export.titles import group_size, moved_bytes, rank_text, shape_text, total
from dagc.graph.graph import Graph
from dagc.graph.priced import PICOSECONDS
from dagc.graph.tensor import Tensor
from dagc.plan.plan import Plan
from dagc.report.structure import strategy_text
from dagc.timeline.timeline import Timeline
from dagc.units import format_bytes, format_count, format_seconds

_LINE_WIDTH = 110


def title(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> str:
    """Head of the picture: the strategy as written, its size, and the time of each phase."""
    facts = [f"{plan.deployment.gpus} GPUs", f"model {plan.facts.model.name}"]
    if graph.replicas > 1:
        facts.append(f"{graph.replicas} replicas, the slowest shown")
    facts.append(f"TTFT {seconds(timelines[0].makespan)}")
    facts.append(f"TPOT {seconds(timelines[-1].interval)}")
    named = "" if plan.name == "main" else f"{plan.name} = "
    return heading(*textwrap.wrap(named + strategy_text(plan.deployment), _LINE_WIDTH), " · ".join(facts))


def service_label(service: ServiceView) -> str:
    """`main: prefill | decode`."""
    phases = " | ".join(service.phases)
    shown = f"sizes and times: {phases}" if len(service.phases) > 1 else phases
    return heading(service.name, f"{service.gpus} GPUs · {shown}")


def stage_label(stage: StageView) -> str:
    """Which stages, and the GPUs of each pool they run on."""
    each = " (of the first)" if stage.count > 1 else ""
    pools = (f"pool {team.pool}: {team.width} GPUs, {rank_text(team.ranks)}{each}" for team in stage.teams)
    return heading(stage.title, *pools)


def segment_label(segment: SegmentView) -> str:
    """Title, and the time of one copy."""
    return heading(segment.title, _copy_times(segment))


def folded_label(segment: SegmentView, where: str) -> str:
    """A segment that is not opened: where its like is, and the time of one copy."""
    return lines(named(segment.title), f"as drawn in {where}", _copy_times(segment))


def pool_label(pool: str) -> str:
    """Another pool inside a segment."""
    return heading(f"pool {pool}")


def node_label(view: NodeView) -> str:
    """Name, output, GPUs and time."""
    one = view.one
    groups = f", groups of {group_size(one.node)}" if group_size(one.node) > 1 else ""
    time = "fused" if one.node.fused_into is not None else _times(_durations(view))
    gpus = f"{one.team.width} GPU{'s' if one.team.width > 1 else ''}{groups}"
    return lines(named(view.key), _tensors(view), f"{gpus} · {time}")


def node_tooltip(view: NodeView, phases: tuple[str, ...]) -> str:
    """Everything else: shape of the operator, work, bound and formula in each phase."""
    told = [view.one.node.op.title]
    for phase, shown in zip(phases, view.phases, strict=True):
        if shown is not None:
            told.append(f"{phase}: {_work(shown)}")
    return lines(*told)


def seconds(picoseconds: int) -> str:
    """A time for people."""
    return format_seconds(picoseconds / PICOSECONDS)


def _work(shown: Shown) -> str:
    node, width = shown.node, shown.team.width
    moved, what = moved_bytes(node), "sent" if node.communication else "memory traffic"
    parts = [
        shape_text(node),
        f"{format_count(total(node.flops, width))} FLOP",
        f"{format_bytes(total(moved, width))} {what} over {width} GPUs",
        f"{seconds(int(shown.cost.duration.max()))}, bound by {shown.cost.bound}",
        shown.cost.formula,
    ]
    return " · ".join(part for part in parts if part)


def _durations(view: NodeView) -> tuple[int | None, ...]:
    return tuple(None if shown is None else int(shown.cost.duration.max()) for shown in view.phases)


def _copy_times(segment: SegmentView) -> str:
    return _times(segment.copy_ps) + (" each" if segment.count > 1 else "")


def _times(values: tuple[int | None, ...]) -> str:
    return " | ".join("–" if value is None else seconds(value) for value in values)


def _tensors(view: NodeView) -> str:
    """The output; where two phases differ in sizes only, those are shown side by side."""
    tensors = [shown.node.output for shown in view.phases if shown is not None]
    texts = list(dict.fromkeys(str(tensor) for tensor in tensors))
    if len(texts) == 1:
        return texts[0]
    return _side_by_side(tensors[0], tensors[1]) or " | ".join(texts)


def _side_by_side(first: Tensor, second: Tensor) -> str | None:
    if _frame(first) != _frame(second):
        return None
    axes = dict(first.sharded)
    dims: list[str] = []
    for a, b in zip(first.dims, second.dims, strict=True):
        size = str(a.size) if a.size == b.size else f"{a.size}|{b.size}"
        dims.append(f"{a.letter}={size}" + (f"/{axes[a.letter]}" if a.letter in axes else ""))
    tail = f" +{first.partial}" if first.partial else ""
    return f"{first.dtype}[{', '.join(dims)}]{tail}"


def _frame(tensor: Tensor) -> tuple[object, ...]:
    """All of a type but the sizes."""
    return tensor.dtype, tuple(dim.letter for dim in tensor.dims), tensor.sharded, tensor.partial
