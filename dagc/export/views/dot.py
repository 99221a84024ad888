"""A view as DOT text, for the built-in layout engine and for any other program that reads it.

All text of a plan is escaped. Bars are block characters, the legend is in words; the SVG of `views.svg` draws both.
Layout is left to the renderer.
"""

from __future__ import annotations

from html import escape as escape_html
from itertools import pairwise
from typing import Any

import graphviz  # pyright: ignore[reportMissingTypeStubs]

from dagc.export.views import look
from dagc.export.views.gpus import gpus_text
from dagc.export.views.legend import legend, words
from dagc.export.views.view import (
    Arrow,
    ArrowKind,
    Bar,
    Box,
    BoxShape,
    Cell,
    Cluster,
    Distance,
    Gpus,
    LoadTile,
    Sign,
    View,
    Words,
)
from dagc.graph.priced import Bound

CELLS, TABLE_CELLS = 16, 7
"""Characters of a bar, of a card or in a table."""

BLOCKS = {Bound.COMPUTE: "█", Bound.MEMORY: "▓", Bound.NETWORK: "▒", Bound.LATENCY: "░", Bound.NONE: "█"}
EMPTY = "▁"

SIGNS = {BoxShape.COMPUTE: "□", BoxShape.COMMUNICATION: "○", BoxShape.ROUTING: "▱"}
_LANE_PADS = 3
"""Room of a lane of arrows, in characters."""

SEPARATOR = " · "
"""Between the names of the views, in the line of links."""

_MARGIN, _WIDE_MARGIN = "10", "30"
"""Points between a frame and what is in it, and between the frames in it; wide where arrows go from one to the next."""

_PAD = "\N{NO-BREAK SPACE}"

_package: Any = graphviz
"""The package has no types."""

_Canvas = Any
"""A graph of the package, or one of its subgraphs, which is in the text once its `with` block ends. A subgraph is a
cluster when its name begins with `cluster`.
"""


def to_dot(view: View) -> str:
    """DOT text of a view."""
    direction = {"rankdir": "LR" if view.across else "TB", "ranksep": "0.7" if view.across else "0.34"}
    drawing = _package.Digraph("dagc", graph_attr=look.GRAPH | direction, node_attr=look.NODE, edge_attr=look.EDGE)
    drawing.attr(label=_frame(*head_lines(view), end="\\l"), tooltip=_plain(view.name))
    _Writer(drawing, view).write()
    return str(drawing.source)


def head_lines(view: View) -> tuple[str, ...]:
    """Lines above the picture: the title, the names of the views, how to read it, and the legend in words."""
    return (*view.title, link_line(view), *view.notes, *(words(line) for line in legend(view)))


def link_line(view: View) -> str:
    """The names of the views that exist, this one among them."""
    return SEPARATOR.join(one.value for one in Distance if one in view.others or one is view.distance)


def bar_text(bar: Bar, cells: int = CELLS) -> str:
    """A bar of block characters: as many of each as its share, rounded so that their sum is right."""
    drawn, reached = "", 0.0
    for bound, share in bar.parts:
        reached += share
        drawn += BLOCKS[bound] * (min(cells, round(reached * cells)) - len(drawn))
    return drawn + EMPTY * (cells - len(drawn))


class _Writer:
    """Adds a view to one drawing."""

    def __init__(self, drawing: _Canvas, view: View) -> None:
        self._drawing = drawing
        self._view = view
        self._points = 0

    def write(self) -> None:
        if self._is_crossed(self._view) and not (self._view.across or self._view.page):
            with self._drawing.subgraph(name="cluster_") as room:
                room.attr(style="invis", label="", margin=_WIDE_MARGIN)
                self._members(room)
        else:
            self._members(self._drawing)
        for arrow in self._view.arrows:
            self._arrow(arrow)

    def _members(self, parent: _Canvas) -> None:
        for member in self._view.members:
            self._member(parent, member)

    def _member(self, parent: _Canvas, member: Box | Cluster) -> None:
        if isinstance(member, Cluster):
            self._cluster(parent, member)
        else:
            _box(parent, member)

    def _cluster(self, parent: _Canvas, cluster: Cluster) -> None:
        with parent.subgraph(name=f"cluster_{cluster.name}") as box:
            tone = look.PAPER if cluster.role is None else look.POOLS[cluster.role]
            box.attr(label=_frame(*cluster.lines, end="\\l"), style="filled,rounded", fillcolor=tone, color=look.FRAME)
            box.attr(**(look.CRITICAL_BOX if cluster.slowest else {}))
            box.attr(id=_plain(cluster.name), margin=_MARGIN, fontsize="11", tooltip=_hover(cluster.hover))
            box.attr(**({"URL": _plain(cluster.link), "target": "_top"} if cluster.link else {}))
            box.attr(**({"margin": _WIDE_MARGIN} if self._is_crossed(cluster) else {}))
            for member in cluster.members:
                self._member(box, member)
            if cluster.beside:
                self._row(box, cluster.beside)
            for before, after in (pair for chain in cluster.chains for pair in pairwise(chain)):
                box.edge(before, after, style="invis")

    def _is_crossed(self, parent: Cluster | View) -> bool:
        """Whether an arrow goes from a frame inside to the one beside it."""
        inside = {member.name for member in parent.members}
        return any(arrow.leaves in inside and arrow.enters in inside for arrow in self._view.arrows)

    def _row(self, box: _Canvas, names: tuple[str, ...]) -> None:
        """Boxes of different clusters beside each other, in this order.

        Graphviz keeps an order of nodes only within one cluster, so that invisible points in `box` hold it, one above
        each of them.
        """
        points = [f"point{self._points + index}" for index in range(len(names))]
        self._points += len(names)
        with box.subgraph() as same:
            same.attr(rank="same")
            for point in points:
                same.node(point, shape="point", style="invis", width="0.01")
        for left, right in pairwise(points):
            box.edge(left, right, style="invis")
        for point, name in zip(points, names, strict=True):
            box.edge(point, name, style="invis", weight="100")

    def _beside(self, text: str) -> str:
        """A line of an arrow's label, with room to an arrow that runs down: its label would begin on it."""
        room = "" if self._view.across else 3 * _PAD
        return f"{room}{text}{room}"

    def _arrow(self, arrow: Arrow) -> None:
        style = look.LINES[arrow.line] | (look.CRITICAL_LINE if arrow.critical else {})
        style |= {"label": _lines(*map(self._beside, arrow.label), _PAD, end="\\n")} if arrow.label else {}
        style |= {"tooltip": _hover(arrow.hover)} if arrow.hover else {}
        style |= {"minlen": "2"} if arrow.orders and (arrow.leaves or arrow.enters) else {}
        style |= {} if arrow.orders else {"constraint": "false"}
        style |= {"dir": "both"} if arrow.returns else {}
        style |= {"ltail": f"cluster_{arrow.leaves}"} if arrow.leaves else {}
        style |= {"lhead": f"cluster_{arrow.enters}"} if arrow.enters else {}
        style |= {"style": "bold,dashed"} if arrow.critical and arrow.line is ArrowKind.CHOICE else {}
        self._drawing.edge(arrow.tail, arrow.head, **style)
        if arrow.level:
            with self._drawing.subgraph() as same:
                same.attr(rank="same")
                same.node(arrow.tail)
                same.node(arrow.head)


def _box(parent: _Canvas, box: Box) -> None:
    style = look.SHAPES[box.shape] | {"fillcolor": look.PAPER, "id": _plain(box.name)}
    style |= look.CRITICAL_BOX if box.critical or box.slowest else {}
    style |= {"penwidth": look.EDGE["penwidth"]} if box.shape is BoxShape.CHIP else {}
    style |= {"peripheries": "2"} if box.folded else {}
    style |= {"URL": _plain(box.link), "target": "_top"} if box.link else {}
    style |= {"tooltip": _hover(box.hover)} if box.hover else {}
    label = _record(box) if box.shape is BoxShape.TABLE else _label(box)
    parent.node(box.name, label=label, **style)


def _label(box: Box) -> str:
    first, *rest = box.lines
    end = "\\l" if box.shape is BoxShape.CARD else "\\n"
    return _lines(*_roomy(first, end), end=end) + _lines(*rest, end=end)


def _record(box: Box) -> str:
    """The columns of a table, each a stack of cells."""
    columns = ("{" + "|".join(_cell(word) for word in (column.head, *column.cells)) + "}" for column in box.columns)
    return "|".join(columns)


def _cell(word: Cell) -> str:
    """A cell; the signs of a record's grammar lose their meaning.

    An empty one is empty: of a line break alone Graphviz 16.1 writes past its memory, and may stop.
    """
    shown = bar_text(word, TABLE_CELLS) if isinstance(word, Bar) else _shown(word)
    text = _lines(shown, end="\\l") if shown else ""
    return "".join(f"\\{sign}" if sign in "{}|" else sign for sign in text)


def _roomy(first: Words, end: str) -> tuple[str, ...]:
    """A first line, with room for being set in bold."""
    text = _shown(first)
    room = _PAD * (len(text) // 6 + 1)
    return (f"{text}{room}",) if end == "\\l" else (f"{room}{text}{room}",)


def _frame(*texts: str, end: str) -> str:
    """The label of a cluster, with room at the end for a first line in bold."""
    return _lines(*(text + _PAD * (len(text) // 6 + 1) for text in texts if text), end=end)


def _lines(*texts: Words, end: str) -> str:
    """A label of several lines; `end` is the escape that centres a line or aligns it to the left."""
    return "".join(_plain(_shown(text)) + end for text in texts if text)


def _shown(text: Cell) -> str:
    if isinstance(text, LoadTile):
        return text.text
    if isinstance(text, Sign):
        return _PAD * (_LANE_PADS * text.lanes + 2) + SIGNS[text.shape]
    if isinstance(text, Gpus):
        return gpus_text(text) + _PAD * (len(text.own) // 4)
    return bar_text(text) if isinstance(text, Bar) else text


def _hover(texts: tuple[str, ...]) -> str:
    """Hover text of a thing; a space keeps the engine from showing its internal name."""
    return "\\n".join(map(_plain, texts)) or " "


def _plain(text: str) -> str:
    """Text that is shown as it is: no escape sequence, entity or markup has a meaning."""
    return str(_package.escape(escape_html(text, quote=False).replace("\n", " ")))
