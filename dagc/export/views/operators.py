"""One operator in words: as a chip where it only moves data, and what a pointer is shown of it, phase by phase."""

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

_PAYLOADS = {"pipeline": "hidden states", "token": "sampled tokens"}
"""What the messages between stages carry, by the first word of their keys."""


def operator_chip(name: str, view: NodeView, phases: tuple[str, ...], link: str = "") -> Box:
    """A small box of two lines: what is moved, and the time of each phase. Bytes and bounds are in its hover text."""
    first, *rest = view.key.split(".")
    payload = _PAYLOADS.get(first, "")
    title = f"{' '.join(rest)} {payload}".strip() if payload else view.key
    return Box(
        name,
        Shape.CHIP,
        (title, phase_text(phases, times(view))),
        hover=operator_hover(view, phases),
        link=link,
        critical=view.critical,
    )


def phase_text(phases: tuple[str, ...], values: tuple[str, ...]) -> str:
    """`prefill 1.6 ms, decode 20 us`; a value alone where there is one phase, or where all have the same one."""
    told = [(phase, value) for phase, value in zip(phases, values, strict=True) if value]
    if len(phases) == 1 or (len(told) == len(phases) and len({value for _, value in told}) == 1):
        return told[0][1] if told else ""
    return ", ".join(f"{phase} {value}" for phase, value in told)


def times(view: NodeView) -> tuple[str, ...]:
    """Time of the slowest rank in each phase; empty in a phase that does not run the operator."""
    return tuple("" if shown is None else time_text(shown.cost.longest) for shown in view.phases)


def bounds(view: NodeView) -> tuple[Bound, ...]:
    """What bounds the operator, in each phase that runs it; a fused one has no time to bound."""
    if view.one.node.fused_into is not None:
        return ()
    return tuple(shown.cost.bound for shown in view.phases if shown is not None)


def operator_hover(view: NodeView, phases: tuple[str, ...]) -> tuple[str, ...]:
    """Everything that is known of it, by phase: type of the output, GPUs, shape, work, bound and formula."""
    node, team = view.one.node, view.one.team
    groups = f" in groups of {group_size(node)}" if group_size(node) > 1 else ""
    fused = ", fused: no time of its own" if node.fused_into is not None else ""
    head = f"{view.key}: {node.op.title}, {format_gpus(team.width)}{groups}{fused}"
    pairs = zip(phases, view.phases, strict=True)
    return head, *(f"{phase}: {_work(shown)}" for phase, shown in pairs if shown is not None)


def _work(shown: Shown) -> str:
    node, width = shown.node, shown.team.width
    what = "sent" if node.communication else "memory traffic"
    moved = total(moved_bytes(node), width)
    parts = [
        f"output {node.output}",
        shape_text(node),
        f"{format_count(total(node.flops, width))} FLOP",
        f"{format_bytes(moved / width)} {what} per GPU",
        f"{time_text(shown.cost.longest)}, {bound_text(shown.cost.bound)}",
        shown.cost.formula,
    ]
    return " · ".join(part for part in parts if part)


def operator_box(name: str, view: NodeView, phases: tuple[str, ...], link: str = "") -> Box:
    """The box of an operator; its name is the operator's key."""
    node = view.one.node
    fused = node.fused_into is not None
    return Box(
        name,
        _SHAPES[node.op.category],
        (view.key, _tensors(view), _size(view), "fused, no time of its own" if fused else _times_text(view)),
        bounds=() if fused else bounds(view),
        hover=operator_hover(view, phases),
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


def _times_text(view: NodeView) -> str:
    times = " | ".join(_ABSENT if s is None else time_text(s.cost.longest) for s in view.phases)
    return f"{times} · {side_by_side(tuple(bound.value for bound in bounds(view)))}"


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
