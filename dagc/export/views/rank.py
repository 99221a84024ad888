"""The rank view: the GPUs of one expert group with their shards and loads, and those of attention where it is apart.

Turns loads by rank into a grid, a row for each node, and a table, a row for each load; ranks with equal loads are one
row there, and nodes with equal loads one row of the grid where there are many. The picture says how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.export.titles import time_text
from dagc.export.view_model import NodeView
from dagc.export.views.look import load_tone
from dagc.export.views.operator_table import operator_chip
from dagc.export.views.rank_rows import RankRow, Section, sections
from dagc.export.views.strategy import Served, StrategyView, slug
from dagc.export.views.view import (
    Arrow,
    ArrowKind,
    Bar,
    Box,
    BoxShape,
    Cell,
    Cluster,
    Distance,
    LoadTile,
    TableColumn,
    View,
)
from dagc.graph.priced import Bound
from dagc.ops.communication import Leg
from dagc.units import counted, format_bytes, format_count


def rank_view(strategy: StrategyView) -> View:
    """Ranks of one group of each service."""
    drawn = [_Service(strategy, served) for served in strategy.served]
    notes = (*strategy.notes(), *(note for one in drawn for part in one.parts for note in part.notes()))
    return View(
        Distance.RANK,
        strategy.name,
        strategy.title(),
        notes,
        tuple(one.cluster() for one in drawn),
        tuple(arrow for one in drawn for arrow in one.arrows()),
        others=strategy.others(Distance.RANK),
    )


class _Service:
    """A service on its way into the view: dispatch, the ranks with experts, combine; attention apart is first."""

    def __init__(self, strategy: StrategyView, served: Served) -> None:
        self._served = served
        self.parts = [_Part(served, section) for section in sections(strategy, served)]
        phases, link = served.view.phases, _link(strategy, served)
        exchange = _exchange(served)
        self._boxes = {leg: operator_chip(_name(served, leg), node, phases, link) for leg, node in exchange.items()}

    def cluster(self) -> Cluster:
        members = (*self._boxes.values(), *(part.cluster() for part in self.parts))
        mean = any(
            cost.duration.ndim > 1 for _, one in self._served.phases for costs in one.priced.costs for cost in costs
        )
        layer = "mean layer of its kind" if mean else "one layer"
        lines = (self._served.heading, f"{layer}, one micro-batch")
        return Cluster(f"{slug(self._served.name)}.ranks", lines, members)

    def arrows(self) -> Iterator[Arrow]:
        before, after = (self._boxes.get(leg) for leg in Leg)
        for part in self.parts:
            if part.section.holds_experts and before and after:
                yield Arrow(before.name, part.top, ArrowKind.CHOICE, enters=part.anchor)
                yield Arrow(part.bottom, after.name, ArrowKind.DATA, leaves=part.anchor)
            elif before:
                yield Arrow(part.bottom, before.name, ArrowKind.CHOICE, leaves=part.anchor)


def _name(served: Served, what: str) -> str:
    return f"{slug(served.name)}.{slug(what)}"


def _link(strategy: StrategyView, served: Served) -> str:
    kinds = [s.kind for stage in served.view.stages for s in stage.segments if s.is_layer and s.nodes]
    return strategy.link(Distance.LAYER, served.layer_anchor(kinds[-1])) if kinds else ""


def _exchange(served: Served) -> dict[Leg, NodeView]:
    """The dispatch and the combine of the first layer that has them."""
    segments = (s for stage in served.view.stages for s in stage.segments)
    found: dict[Leg, NodeView] = {}
    for node in (node for segment in segments for node in segment.nodes):
        communication = node.one.node.communication
        if communication is not None and communication.leg is not None:
            found.setdefault(communication.leg, node)
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
    def top(self) -> str:
        """What an arrow to the section leads to."""
        return f"{self.anchor}.grid"

    @property
    def bottom(self) -> str:
        """What an arrow from the section begins at."""
        return f"{self.anchor}.table"

    def cluster(self) -> Cluster:
        section = self.section
        grid = Box(self.top, BoxShape.TABLE, (), columns=tuple(self._grids()))
        table = Box(self.bottom, BoxShape.TABLE, (), columns=tuple(_columns(section)))
        chains = ((self.top, self.bottom),)
        return Cluster(self.anchor, self._said(), (grid, table), role=section.role, chains=chains)

    def _said(self) -> tuple[str, ...]:
        """What the section is, and what a cell of its grids has."""
        section = self.section
        held = "experts" if section.rows[0].experts else "heads"
        if not section.is_even:
            return section.title, *section.lines, "grid: the load of each GPU, its time over that of the slowest"
        return section.title, *section.lines, f"equal load on all ranks; grid: the {held} of each GPU"

    def notes(self) -> list[str]:
        section = self.section
        folded = [row for row in section.rows if row.count > 1]
        nodes = [node for node in section.nodes if node.count > 1]
        folds: list[str] = []
        if folded:
            ranks = sum(row.count for row in folded)
            first = ", the slowest first" if len(section.rows) > 1 else ""
            folds.append(f"{ranks} ranks in {counted(len(folded), 'row')} (×n){first}")
        if nodes:
            folds.append(f"{sum(node.count for node in nodes)} nodes in {counted(len(nodes), 'row')}")
        if section.hidden:
            folds.append(f"{counted(section.hidden, 'row')} of GPUs, faster than those drawn")
        return [f"folded: {section.title}: {', '.join(folds)}"] if folds else []

    def _phases(self) -> list[tuple[int, ...]]:
        """Phases by grid: one for all where they load each GPU alike, to a tone."""
        every = tuple(range(len(self.section.phases)))
        gpus = [gpu for node in self.section.nodes for gpu in node.gpus if gpu]
        tones = {tuple(load_tone(_share(self.section, gpu, phase)) for phase in every) for gpu in gpus}
        return [every] if all(len(set(tone)) == 1 for tone in tones) else [(phase,) for phase in every]

    def _grids(self) -> Iterator[TableColumn]:
        """A row for each node, a column for each GPU of a node; the next phase beside the one before."""
        section = self.section
        nodes = section.nodes
        for index, phases in enumerate(self._phases()):
            if index:
                yield TableColumn("", ("",) * len(nodes))
            yield TableColumn(
                " and ".join(section.phases[phase] for phase in phases), tuple(node.title for node in nodes)
            )
            for gpu in range(len(nodes[0].gpus)):
                head = f"+{gpu}" if section.is_split else f"GPU {gpu}"
                yield TableColumn(head, tuple(self._tile(node.gpus[gpu], phases[0]) for node in nodes))

    def _tile(self, gpu: RankRow | None, phase: int) -> Cell:
        """A GPU: what it holds where all do the same, else its load."""
        if gpu is None:
            return ""
        share = _share(self.section, gpu, phase)
        shard = gpu.experts or gpu.heads or gpu.ranks
        return LoadTile(
            shard if self.section.is_even else f"{100 * share:.0f} %", share, tuple(_hover(self.section, gpu))
        )


def _share(section: Section, row: RankRow, phase: int) -> float:
    """The time of a rank over that of the slowest."""
    return row.loads[phase].picoseconds / (section.slowest[phase] or 1.0)


def _hover(section: Section, gpu: RankRow) -> Iterator[str]:
    """All about the ranks of a cell, in lines."""
    yield f"rank{'s' if gpu.count > 1 else ''} {gpu.ranks}"
    held = (("", gpu.place), ("heads ", gpu.heads), ("sequences ", gpu.sequences), ("experts ", gpu.experts))
    yield " · ".join(f"{what}{text}" for what, text in held if text)
    for index, (phase, load) in enumerate(zip(section.phases, gpu.loads, strict=True)):
        tokens = f"{_tokens(load.tokens)} tokens, " if load.tokens else ""
        share = f"{100 * _share(section, gpu, index):.3g} % of the slowest"
        yield f"{phase}: {tokens}{time_text(load.picoseconds)}, {share}"
    if gpu.bytes is not None:
        yield f"memory {format_bytes(gpu.bytes)} of {format_bytes(section.capacity_bytes)}"


def _columns(section: Section) -> Iterator[TableColumn]:
    """Who, what each holds, and its load in each phase beside a bar against the slowest of the section."""
    rows = section.rows
    yield TableColumn("ranks" if any(row.count > 1 for row in rows) else "rank", tuple(row.ranks for row in rows))
    for head, cells in (
        ("heads", tuple(row.heads for row in rows)),
        ("sequences", tuple(row.sequences for row in rows)),
        ("experts", tuple(row.experts for row in rows)),
    ):
        if any(cells):
            yield TableColumn(head, cells)
    for index, phase in enumerate(section.phases):
        if any(row.loads[index].tokens for row in rows):
            yield TableColumn(f"{phase} tokens", tuple(_tokens(row.loads[index].tokens) for row in rows))
        yield TableColumn(f"{phase} time", tuple(time_text(row.loads[index].picoseconds) for row in rows))
        yield TableColumn("load", tuple(_bar(_share(section, row, index)) for row in rows))
    if section.capacity_bytes:
        yield TableColumn("memory", tuple("" if row.bytes is None else format_bytes(row.bytes) for row in rows))
        yield TableColumn("filled", tuple(_bar((row.bytes or 0.0) / section.capacity_bytes) for row in rows))


def _bar(share: float) -> Cell:
    return Bar(((Bound.NONE, min(1.0, share)),))


def _tokens(tokens: float) -> str:
    """Expectations may be fractions of a token."""
    return format_count(round(tokens) if tokens >= 100 else round(tokens, 1))
