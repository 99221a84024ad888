"""The legend of the picture: one sample of each shape, line and tone, in two rows above the rest."""

from __future__ import annotations

from itertools import pairwise

from dagc.export import dot_style as style
from dagc.export.canvas import Canvas
from dagc.graph.ops import Category
from dagc.plan.deployment import Role

_KINDS = {
    Category.COMPUTE: "computation",
    Category.COMMUNICATION: "communication",
    Category.ROUTING: "routing, aggregation",
}
_POOLS = {Role.ATTENTION: "pool of attention", Role.EXPERTS: "pool of experts"}
_LINES = (("data", "data"), ("choice", "choice of experts"), ("order", "order only"), ("transfer", "message"))


def add_legend(drawing: Canvas, above: list[str], roles: dict[str, Role]) -> None:
    """Add the legend over the nodes `above`."""
    with drawing.box(name="cluster_legend") as box:
        box.attr(label=style.heading("legend"), fontsize="11", style="rounded", color=style.LINE, margin="8")
        shapes = _shapes(box, roles)
        lines = _lines(box)
    drawing.edge(shapes[0], lines[0], style="invis")
    for node in above:
        drawing.edge(lines[0], node, style="invis")


def _shapes(box: Canvas, roles: dict[str, Role]) -> list[str]:
    with box.box() as row:
        row.attr(rank="same")
        names = [
            _sample(row, category, text, fillcolor=style.TONES[category], **style.SHAPES[category])
            for category, text in _KINDS.items()
        ]
        names.append(_sample(row, "critical", "critical path", shape="box", **style.CRITICAL_NODE))
        names.append(_sample(row, "folded", "folded", shape="box", style="filled,rounded", peripheries="2"))
        names += [
            _sample(row, role, text, shape="box", style="filled,rounded", fillcolor=style.POOL_TONES[role])
            for role, text in _POOLS.items()
            if role in roles.values()
        ]
    _in_order(box, names)
    return names


def _lines(box: Canvas) -> list[str]:
    names: list[str] = []
    with box.box() as row:
        row.attr(rank="same")
        for kind, text in _LINES:
            names.append(_sample(row, f"{kind}_text", text, shape="plaintext", style=""))
            names.append(_sample(row, f"{kind}_end", "", shape="point", width="0.04", height="0.04"))
            row.edge(names[-2], names[-1], minlen="2", **style.EDGES[kind])
    _in_order(box, names)
    return names


def _sample(box: Canvas, name: str, text: str, **look: str) -> str:
    box.node(f"legend_{name}", label=style.plain(text), **look)
    return f"legend_{name}"


def _in_order(box: Canvas, names: list[str]) -> None:
    for left, right in pairwise(names):
        box.edge(left, right, style="invis")
