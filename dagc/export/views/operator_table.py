"""Operators as a table: a row each in program order, with its output, and its time in each phase beside a bar.

Arrows between rows are the table's own: from each row to the next beside their signs, longer ones in lanes of a gutter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dagc.export.opened import EdgeView, NodeView
from dagc.export.titles import group_size
from dagc.export.views.operators import operator_hover, times
from dagc.export.views.shapes_key import ShapesKey
from dagc.export.views.view import Bar, Box, Cell, Column, Flow, Line, Shape, Sign
from dagc.ops.gemm import Router
from dagc.ops.op import Category
from dagc.units import format_gpus

_ABSENT = "–"
_SHAPES = {
    Category.COMPUTE: Shape.COMPUTE,
    Category.COMMUNICATION: Shape.COMMUNICATION,
    Category.ROUTING: Shape.ROUTING,
}
_LINES = {"data": Line.DATA, "order": Line.ORDER, "transfer": Line.MESSAGE}


@dataclass(frozen=True, slots=True)
class Rows:
    """What a table shows: operators in program order under a head, `prefix` the words that their names leave out.

    `edges` are those of their segments; what leads out of the table is left out.
    """

    head: str
    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]
    prefix: str = ""


def operator_table(
    name: str,
    rows: Rows,
    phases: tuple[str, ...],
    key: ShapesKey | None,
    link: str = "",
    longest: tuple[int, ...] = (),
    marks: bool = True,
) -> Box:
    """The table; bars are over `longest`, the time of a whole bar by phase in picoseconds, and left out without it.
    Outputs are written with the letters of `key`, and left out without it.

    The critical path is marked where `marks`.
    """
    flows = tuple(_flows(rows, marks))
    lanes = max((flow.lane for flow in flows), default=0)
    signs = tuple(_sign(view, lanes, marks) for view in rows.nodes)
    columns = [Column("", signs), Column(rows.head, tuple(_name(view, rows.prefix) for view in rows.nodes))]
    pools = [view.one.team.pool for view in rows.nodes]
    if len(set(pools)) > 1:
        columns.append(Column("pool", tuple(pools)))
    if key:
        columns.append(Column("output", tuple(key.text(view) for view in rows.nodes)))
    for phase, named in enumerate(phases):
        columns.append(Column(named, tuple(_time(view, phase) for view in rows.nodes)))
        if longest:
            columns.append(Column("", tuple(_bar(view, phase, longest[phase]) for view in rows.nodes)))
    hovers = tuple(operator_hover(view, phases) for view in rows.nodes)
    return Box(name, Shape.TABLE, (), link=link, columns=tuple(columns), hovers=hovers, flows=flows)


def longest_times(nodes: Sequence[NodeView]) -> tuple[int, ...]:
    """Time of the slowest operator in each phase, in picoseconds."""
    return tuple(
        max((shown.cost.longest for view in nodes if (shown := view.phases[phase]) is not None), default=0)
        for phase in range(len(nodes[0].phases))
    )


def _sign(view: NodeView, lanes: int, marks: bool) -> Sign:
    node = view.one.node
    return Sign(_SHAPES[node.op.category], lanes, view.critical and marks, node.fused_into is not None)


def _name(view: NodeView, prefix: str) -> str:
    """Without what all names of the table begin with; how many GPUs exchange where they do."""
    group = group_size(view.one.node)
    name = view.key.removeprefix(f"{prefix}.") if prefix else view.key
    return f"{name} over {format_gpus(group)}" if group > 1 else name


def _time(view: NodeView, phase: int) -> str:
    return "fused" if view.one.node.fused_into is not None else times(view)[phase] or _ABSENT


def _bar(view: NodeView, phase: int, longest: int) -> Cell:
    """The time of an operator over the longest of its layer, in the tone of what bounds it."""
    shown = view.phases[phase]
    if shown is None or view.one.node.fused_into is not None:
        return ""
    return Bar(((shown.cost.bound, shown.cost.longest / max(longest, 1)),), whole=False)


def _flows(rows: Rows, marks: bool) -> Iterator[Flow]:
    """Arrows between rows, each longer one in the first lane that is free along it; orders only to the next row."""
    place = {view.key: index for index, view in enumerate(rows.nodes)}
    found = [
        (place[edge.tail], place[edge.head], _line(edge, rows.nodes[place[edge.tail]]), edge.critical and marks)
        for edge in rows.edges
        if edge.tail in place and edge.head in place
    ]
    lanes: list[list[tuple[int, int]]] = []
    for tail, head, line, critical in sorted(found, key=lambda one: (one[1] - one[0], one[0])):
        if head == tail + 1:
            yield Flow(tail, head, line, critical, 0)
        elif line is not Line.ORDER:
            free = (i for i, taken in enumerate(lanes) if all(head <= a or tail >= b for a, b in taken))
            lane = next(free, len(lanes))
            lanes += [[]] if lane == len(lanes) else []
            lanes[lane].append((tail, head))
            yield Flow(tail, head, line, critical, lane + 1)


def _line(edge: EdgeView, tail: NodeView) -> Line:
    line = _LINES[edge.kind]
    return Line.CHOICE if line is Line.DATA and isinstance(tail.one.node.op, Router) else line
