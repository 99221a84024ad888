"""The rank view: the ranks of one expert group with their shards and loads, and those of attention where it is apart.

Turns loads by rank into a table for each machine node. Ranks that do the same may be folded; the picture says how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.export.opened import NodeView
from dagc.export.titles import time_text
from dagc.export.views.operators import operator_box
from dagc.export.views.rank_rows import RankRow, Section, sections
from dagc.export.views.scene import Scene, Served, slug
from dagc.export.views.view import Arrow, Bar, Box, Cluster, Column, Distance, Line, Shape, View, Words
from dagc.graph.ops import COMBINE, DISPATCH, Op
from dagc.graph.priced import Bound
from dagc.units import counted, format_bytes, format_count

_STACKED = 4
"""Tables below each other; of more there are two columns."""


def rank_view(scene: Scene) -> View:
    """Ranks of one group of each service."""
    drawn = [_Service(scene, served) for served in scene.served]
    notes = (*scene.notes(), *(note for one in drawn for part in one.parts for note in part.notes()))
    return View(
        Distance.RANK,
        scene.name,
        scene.title(),
        notes,
        tuple(one.cluster() for one in drawn),
        tuple(arrow for one in drawn for arrow in one.arrows()),
        others=scene.others(Distance.RANK),
    )


class _Service:
    """A service on its way into the view: dispatch, the ranks with experts, combine; attention apart stands first."""

    def __init__(self, scene: Scene, served: Served) -> None:
        self._served = served
        self.parts = [_Part(served, section) for section in sections(scene, served)]
        phases, link = served.view.phases, _link(scene, served)
        exchange = _exchange(served)
        self._boxes = {op: operator_box(_name(served, op.name), node, phases, link) for op, node in exchange.items()}

    def cluster(self) -> Cluster:
        members = (*self._boxes.values(), *(part.cluster() for part in self.parts))
        mean = any(
            cost.duration.ndim > 1 for _, one in self._served.phases for costs in one.priced.costs for cost in costs
        )
        layer = "mean layer of its kind" if mean else "one layer"
        lines = (self._served.heading, f"{layer}, one micro-batch")
        return Cluster(f"{slug(self._served.name)}.ranks", lines, members, chains=tuple(self._chains()))

    def _chains(self) -> Iterator[tuple[str, ...]]:
        """What keeps the tables that no arrow meets below the dispatch and above the combine."""
        before, after = (self._boxes.get(op) for op in (DISPATCH, COMBINE))
        for part in self.parts:
            if part.section.holds_experts:
                yield from ((before.name, top) for top in part.tops[1:] if before)
                yield from ((bottom, after.name) for bottom in part.bottoms[1:] if after)

    def arrows(self) -> Iterator[Arrow]:
        before, after = (self._boxes.get(op) for op in (DISPATCH, COMBINE))
        for part in self.parts:
            if part.section.holds_experts and before and after:
                yield Arrow(before.name, part.tops[0], Line.CHOICE, enters=part.anchor)
                yield Arrow(part.bottoms[0], after.name, Line.DATA, leaves=part.anchor)
            elif before:
                yield Arrow(part.bottoms[0], before.name, Line.CHOICE, leaves=part.anchor)


def _name(served: Served, what: str) -> str:
    return f"{slug(served.name)}.{slug(what)}"


def _link(scene: Scene, served: Served) -> str:
    kinds = [s.kind for stage in served.view.stages for s in stage.segments if s.is_layer and s.nodes]
    return scene.link(Distance.LAYER, served.layer_anchor(kinds[-1])) if kinds else ""


def _exchange(served: Served) -> dict[Op, NodeView]:
    """The dispatch and the combine of the first layer that has them."""
    opened = (s for stage in served.view.stages for s in stage.segments)
    found: dict[Op, NodeView] = {}
    for node in (node for segment in opened for node in segment.nodes):
        if node.one.node.op in (DISPATCH, COMBINE):
            found.setdefault(node.one.node.op, node)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A section on its way into the view."""

    served: Served
    section: Section

    @property
    def anchor(self) -> str:
        return f"{slug(self.served.name)}.{slug(self.section.title)}"

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables, one a machine node, or one for all where ranks are folded."""
        return tuple(f"{self.anchor}.{index}" for index, _ in enumerate(self._groups()))

    def cluster(self) -> Cluster:
        boxes = [
            self._table(name, title, rows) for name, (title, rows) in zip(self.tables, self._groups(), strict=True)
        ]
        lines, beside = (self.section.title, *self.section.lines), self.tops if len(self.tops) > 1 else ()
        return Cluster(
            self.anchor, lines, tuple(boxes), role=self.section.role, chains=tuple(self._stacks()), beside=beside
        )

    def _stacks(self) -> list[tuple[str, ...]]:
        """Names of the tables, by column."""
        tables = self.tables
        columns = 1 if len(tables) <= _STACKED else 2
        tall = -(-len(tables) // columns)
        return [tables[first : first + tall] for first in range(0, len(tables), tall)]

    @property
    def tops(self) -> tuple[str, ...]:
        """The first table of each column."""
        return tuple(stack[0] for stack in self._stacks())

    @property
    def bottoms(self) -> tuple[str, ...]:
        """The last table of each column."""
        return tuple(stack[-1] for stack in self._stacks())

    def notes(self) -> list[str]:
        folded = [row for row in self.section.rows if row.count > 1]
        if not folded:
            return []
        ranks = sum(row.count for row in folded)
        return [f"folded: {self.section.title}: {ranks} ranks in {counted(len(folded), 'row')} (×n), the slowest first"]

    def _groups(self) -> list[tuple[str, list[RankRow]]]:
        """Rows by machine node; one table where a row stands for ranks of several."""
        rows = self.section.rows
        if not self.section.by_node:
            return [("the slowest first", list(rows))]
        found: dict[int, list[RankRow]] = {}
        for row in rows:
            found.setdefault(row.node, []).append(row)
        return [(f"node {node}", members) for node, members in found.items()]

    def _table(self, name: str, title: str, rows: list[RankRow]) -> Cluster:
        box = Box(name, Shape.TABLE, (), columns=tuple(_columns(self.section, rows)))
        return Cluster(f"{name}.node", (title,), (box,))


def _columns(section: Section, rows: list[RankRow]) -> Iterator[Column]:
    """Who, what it holds, and its load in each phase beside a bar against the busiest of the section."""
    yield Column("rank", tuple(row.ranks for row in rows))
    yield Column("place", tuple(row.place for row in rows))
    for head, cells in (
        ("heads", tuple(row.heads for row in rows)),
        ("sequences", tuple(row.sequences for row in rows)),
        ("experts", tuple(row.experts for row in rows)),
    ):
        if any(cells):
            yield Column(head, cells)
    for index, phase in enumerate(section.phases):
        if any(row.loads[index].tokens for row in section.rows):
            yield Column(f"{phase} tokens", tuple(_tokens(row.loads[index].tokens) for row in rows))
        yield Column(f"{phase} time", tuple(time_text(row.loads[index].picoseconds) for row in rows))
        most = max(row.loads[index].picoseconds for row in section.rows) or 1.0
        yield Column("load", tuple(_bar(row.loads[index].picoseconds / most) for row in rows))
    if section.capacity_bytes:
        yield Column("memory", tuple("" if row.bytes is None else format_bytes(row.bytes) for row in rows))
        yield Column("filled", tuple(_bar((row.bytes or 0.0) / section.capacity_bytes) for row in rows))


def _bar(share: float) -> Words:
    return Bar(((Bound.NONE, min(1.0, share)),))


def _tokens(tokens: float) -> str:
    """Expectations may be fractions of a token."""
    return format_count(round(tokens) if tokens >= 100 else round(tokens, 1))
