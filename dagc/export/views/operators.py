"""One operator in words: as a chip where it only moves data, and what a pointer is shown of it, phase by phase."""

from __future__ import annotations

from dagc.export.opened import NodeView, Shown
from dagc.export.titles import group_size, moved_bytes, shape_text, time_text, total
from dagc.export.views.view import Box, Shape
from dagc.report.serving import bound_text
from dagc.units import format_bytes, format_count, format_gpus

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
    known = [(phase, value) for phase, value in zip(phases, values, strict=True) if value]
    if len(phases) == 1 or (len(known) == len(phases) and len({value for _, value in known}) == 1):
        return known[0][1] if known else ""
    return ", ".join(f"{phase} {value}" for phase, value in known)


def times(view: NodeView) -> tuple[str, ...]:
    """Time of the slowest rank in each phase; empty in a phase that does not run the operator."""
    return tuple("" if shown is None else time_text(shown.cost.longest) for shown in view.phases)


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
