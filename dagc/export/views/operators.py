"""One operator as a box: its shapes, GPUs, bytes, time and bound, for one phase or for two side by side."""

from __future__ import annotations

from dagc.export.opened import NodeView, Shown
from dagc.export.titles import group_size, moved_bytes, shape_text, time_text, total
from dagc.export.views.scene import side_by_side
from dagc.export.views.view import Box, Shape
from dagc.graph.ops import Category
from dagc.graph.priced import Bound
from dagc.graph.tensor import Tensor
from dagc.report.token_time import bound_text
from dagc.units import format_bytes, format_count, format_gpus

_ABSENT = "–"


def operator_box(name: str, view: NodeView, phases: tuple[str, ...], link: str = "") -> Box:
    """The box of an operator; its name is the operator's key."""
    node = view.one.node
    fused = node.fused_into is not None
    return Box(
        name,
        _SHAPES[node.op.category],
        (view.key, _tensors(view), _size(view), "fused, no time of its own" if fused else _times(view)),
        bounds=() if fused else _bounds(view),
        hover=(node.op.title, *_told(view, phases)),
        link=link,
        critical=view.critical,
        fused=fused,
    )


_SHAPES = {
    Category.COMPUTE: Shape.COMPUTE,
    Category.COMMUNICATION: Shape.COMMUNICATION,
    Category.ROUTING: Shape.ROUTING,
}


def _size(view: NodeView) -> str:
    """GPUs, groups, and the bytes of each GPU: sent by a communication, else read and written."""
    node, width = view.one.node, view.one.team.width
    groups = f", groups of {group_size(node)}" if group_size(node) > 1 else ""
    each = tuple(_ABSENT if shown is None else format_bytes(_bytes(shown)) for shown in view.phases)
    return f"{width} GPU{'s' if width > 1 else ''}{groups} · {side_by_side(each)}"


def _bytes(shown: Shown) -> float:
    """Bytes of one GPU, in the mean."""
    return total(moved_bytes(shown.node), shown.team.width) / shown.team.width


def _times(view: NodeView) -> str:
    times = " | ".join(_ABSENT if s is None else time_text(s.cost.longest) for s in view.phases)
    return f"{times} · {side_by_side(tuple(bound.value for bound in _bounds(view)))}"


def _bounds(view: NodeView) -> tuple[Bound, ...]:
    return tuple(shown.cost.bound for shown in view.phases if shown is not None)


def _told(view: NodeView, phases: tuple[str, ...]) -> tuple[str, ...]:
    """Everything else, by phase: shape of the operator, work, bound and formula."""
    pairs = zip(phases, view.phases, strict=True)
    return tuple(f"{phase}: {_work(shown)}" for phase, shown in pairs if shown is not None)


def _work(shown: Shown) -> str:
    node, width = shown.node, shown.team.width
    what = "sent" if node.communication else "memory traffic"
    parts = [
        shape_text(node),
        f"{format_count(total(node.flops, width))} FLOP",
        f"{format_bytes(total(moved_bytes(node), width))} {what} over {format_gpus(width)}",
        f"{time_text(shown.cost.longest)}, {bound_text(shown.cost.bound)}",
        shown.cost.formula,
    ]
    return " · ".join(part for part in parts if part)


def _tensors(view: NodeView) -> str:
    """The output; where two phases differ in sizes only, those are shown side by side."""
    tensors = [shown.node.output for shown in view.phases if shown is not None]
    texts = list(dict.fromkeys(str(tensor) for tensor in tensors))
    if len(texts) == 1:
        return texts[0]
    return _merged(tensors[0], tensors[1]) or " | ".join(texts)


def _merged(first: Tensor, second: Tensor) -> str | None:
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
