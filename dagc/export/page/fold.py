"""The slices of a trace become blocks that a page can hold: some thousands, whatever the plan.

Slices that follow each other on a lane without a wait, of one kind, layer and micro-batch, are one block. Where that
leaves too many, blocks that begin in the same short interval are one too, of the kind that takes most of its time; the
interval grows until they fit. Where there are more slices than fit into memory with ease, each passage of a micro-batch
through like layers of a stage is one on each lane to begin with. Vectorised over slices.

The timeline of representative ranks: a row a rank, its computation above its communication, a picture a phase.

Turns folded lanes into SVG. The blocks are in a nested SVG, whose view box a script narrows to zoom;
without a script the whole phase is there. A block of several is as high as it is busy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log10

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from dagc.export.page.markup import tag, text
from dagc.export.svg_text import cut, fixed_width
from dagc.export.times import CopyStarts, durations
from dagc.export.titles import team_of
from dagc.export.trace.tracks import LANES, PhaseTracks
from dagc.graph.graph import Node
from dagc.ops.op import Lane, OpKind
from dagc.plan.layout import Ranks
from dagc.schedule.timeline import Run
from dagc.units import format_seconds, format_share

KINDS = tuple(OpKind)


def css(kind: OpKind) -> str:
    """The class of the elements of a kind."""
    return f"k{KINDS.index(kind)}"


MOST_BLOCKS = 3000
"""Blocks of one phase."""

_BLOCKS_A_LANE, _FEWEST = 150, 2000

MOST_SLICES = 500_000
"""Slices of a phase that are folded one by one; of more, each run is a slice on each lane first."""

MOST_RANKS = 12
"""Representative ranks of one phase, divided among its teams; each team has one."""

_FINEST = 8192
"""Intervals of a phase at which folding begins."""

_INT = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LaneBlock:
    """Time in nanoseconds of the phase; `busy` is what its slices take of it.

    `layer` is -1 outside the layers and where several are joined.
    """

    rank: int
    lane: Lane
    start: int
    end: int
    busy: int
    kind: OpKind
    name: str
    count: int
    micro_batch: int
    layer: int

    @property
    def share(self) -> float:
        """How much of its time is busy."""
        return self.busy / max(self.end - self.start, 1)


@dataclass(frozen=True, slots=True)
class PhaseLanes:
    """One phase: titles of its representative ranks, and the blocks on their lanes.

    `slices` are those that the blocks represent, `interval` the nanoseconds in which blocks were joined, 0 for none;
    `left_out` counts representatives that are not shown.
    """

    titles: tuple[tuple[str, str], ...]
    blocks: tuple[LaneBlock, ...]
    span: int
    slices: int
    interval: int
    left_out: int


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    track: _INT
    start: _INT
    end: _INT
    name: _INT
    kind: _INT
    layer: _INT
    batch: _INT
    count: _INT
    busy: _INT

    def taken(self, index: npt.NDArray[np.intp]) -> _Columns:
        return _Columns(*(getattr(self, name)[index] for name in self.__slots__))


def phase_lanes(phase: PhaseTracks) -> PhaseLanes:
    """The lanes of one phase."""
    graph = phase.timeline.priced.graph
    each = max(1, MOST_RANKS // len(phase.teams))
    kept = [min(each, team.local.size) for team in phase.teams]
    titles = [
        (f"{team.pool} · stage {team.stage}", title)
        for shown, team, count in zip(phase.teams, graph.teams, kept, strict=True)
        for title in shown.titles[:count]
    ]
    span = max(phase.timeline.makespan // 1000, 1)
    rows = _Rows(kept, np.concatenate([[0], np.cumsum(kept)]).astype(np.int64))
    names: list[Node] = []
    known: dict[tuple[int, ...], _Alike] = {}
    shown: list[tuple[Run, _Alike]] = []
    for run in phase.timeline.runs:
        key = run.template, run.size, run.stage, run.offset, run.count
        if run.step == 0:
            alike = known[key] if key in known else known.setdefault(key, _alike(phase, run, rows, names))
            shown.append((run, alike))
    large = sum(alike.busy.size for _, alike in shown) > MOST_SLICES
    parts = list(_passages(shown)) if large else [_slices(run, alike) for run, alike in shown]
    if not sum(part[0].size for part in parts):
        return PhaseLanes((), (), span, 0, 0, 0)
    whole = _Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    ordered = whole.taken(np.lexsort((whole.start, whole.track)))
    folded, interval = _folded(ordered, span, min(MOST_BLOCKS, max(_FEWEST, _BLOCKS_A_LANE * len(titles) * len(LANES))))
    blocks = tuple(_block(folded, index, names) for index in range(folded.start.size))
    left_out = sum(team.local.size for team in phase.teams) - len(titles)
    return PhaseLanes(tuple(titles), blocks, span, int(whole.count.sum()), interval, left_out)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Which ranks are drawn: so many of each team, from this row on."""

    kept: list[int]
    first: _INT


@dataclass(frozen=True, slots=True, eq=False)
class _Alike:
    """What runs of the same layers have in common: where `nodes` run, and of the slices that take time, which of all
    (copies, columns) these are, and the columns of those.
    """

    nodes: tuple[tuple[int, Ranks], ...]
    kept: npt.NDArray[np.bool_]
    track: _INT
    name: _INT
    kind: _INT
    copy: _INT
    busy: _INT


def _alike(phase: PhaseTracks, run: Run, rows: _Rows, names: list[Node]) -> _Alike:
    graph, copies = phase.timeline.priced.graph, range(run.count)
    teams = graph.programs[run.size][run.stage].teams
    nodes: list[tuple[int, Ranks]] = []
    columns: list[tuple[_INT, ...]] = []
    for index, node in enumerate(graph.templates[run.template].nodes):
        team = team_of(teams, node)
        local = phase.teams[team].local[: rows.kept[team]]
        if not local.size:
            continue
        track = LANES.index(node.op.lane) + len(LANES) * (rows.first[team] + np.arange(local.size))
        lasting = durations(phase.timeline, run, copies, index, local)
        fields = (
            track,
            np.int64(len(names)),
            np.int64(KINDS.index(node.op.kind)),
            np.arange(run.count)[:, None],
            lasting,
        )
        nodes.append((index, local))
        names.append(node)
        columns.append(tuple(np.broadcast_to(field, (run.count, local.size)) for field in fields))
    if not nodes:
        return _Alike((), np.empty((run.count, 0), dtype=np.bool_), *[np.empty(0, dtype=np.int64)] * 5)
    track, name, kind, copy, lasting = (np.concatenate(one, axis=1) for one in zip(*columns, strict=True))
    kept = lasting >= 1000
    return _Alike(tuple(nodes), kept, track[kept], name[kept], kind[kept], copy[kept], lasting[kept] // 1000)


def _slices(run: Run, alike: _Alike) -> tuple[_INT, ...]:
    """The columns of all slices of a run that take time, over copies, operators and shown ranks."""
    (start,) = _begun([run], alike)
    layer = np.full(start.size, -1) if run.first_layer is None else run.first_layer + alike.copy
    batch, count = np.full(start.size, run.micro_batch), np.ones(start.size, dtype=np.int64)
    return alike.track, start, start + alike.busy, alike.name, alike.kind, layer, batch, count, alike.busy


def _begun(runs: Sequence[Run], alike: _Alike) -> _INT:
    """Starts in nanoseconds of the slices that take time, shape (runs, slices)."""
    if not alike.nodes:
        return np.zeros((len(runs), 0), dtype=np.int64)
    return CopyStarts(runs, range(runs[0].count)).of_all(alike.nodes)[:, alike.kept] // 1000


def _passages(shown: Sequence[tuple[Run, _Alike]]) -> Iterator[tuple[_INT, ...]]:
    """The columns of runs that are a slice for each lane. Runs of the same layers differ in their times alone."""
    grouped: dict[int, list[tuple[Run, _Alike]]] = {}
    for one in shown:
        grouped.setdefault(id(one[1]), []).append(one)
    for pairs in grouped.values():
        runs, alike = [run for run, _ in pairs], pairs[0][1]
        slices = _Columns(*_slices(runs[0], alike))
        if not slices.start.size:
            continue
        passed = _joined(slices.taken(np.lexsort((slices.start, slices.track))), (np.sort(slices.track),))
        order = np.argsort(alike.track, kind="stable")
        begins = np.flatnonzero(np.diff(alike.track[order], prepend=-1))
        for first in range(0, len(runs), most := max(1, MOST_SLICES // slices.start.size)):
            several = runs[first : first + most]
            start = _begun(several, alike)[:, order]
            starts = np.minimum.reduceat(start, begins, axis=1)
            ends = np.maximum.reduceat(start + alike.busy[order], begins, axis=1)
            batch = np.broadcast_to(np.array([run.micro_batch for run in several])[:, None], starts.shape)
            same = passed.track, passed.name, passed.kind, passed.count, passed.busy
            track, name, kind, count, busy = (np.tile(column, len(several)) for column in same)
            layer = np.full_like(track, -1)
            yield track, starts.ravel(), ends.ravel(), name, kind, layer, batch.ravel(), count, busy


def _folded(slices: _Columns, span: int, most: int) -> tuple[_Columns, int]:
    interval = max(span // _FINEST, 1)
    waits = np.concatenate([[0], slices.start[1:] - slices.end[:-1] > interval]).cumsum()
    found = _joined(slices, (slices.track, slices.kind, slices.layer, slices.batch, waits))
    if found.start.size <= most:
        return found, 0
    while True:
        coarse = _joined(found, (found.track, found.start // interval))
        if coarse.start.size <= most or interval > span:
            return coarse, interval
        interval += interval // 2 + 1


def _joined(slices: _Columns, keys: Sequence[_INT]) -> _Columns:
    """Neighbours whose keys are equal become one: of the kind that takes most time, named after the longest."""
    differs = np.zeros(slices.start.size, dtype=bool)
    differs[0] = True
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    begins, group = np.flatnonzero(differs), np.cumsum(differs) - 1
    by_kind = np.zeros((begins.size, len(KINDS)), dtype=np.int64)
    np.add.at(by_kind, (group, slices.kind), slices.busy)
    kind = by_kind.argmax(axis=1)
    order = np.lexsort((-slices.busy, slices.kind != kind[group], group))
    longest = order[np.searchsorted(group[order], np.arange(begins.size))]
    one_layer = np.minimum.reduceat(slices.layer, begins) == np.maximum.reduceat(slices.layer, begins)
    return _Columns(
        slices.track[begins],
        slices.start[begins],
        np.maximum.reduceat(slices.end, begins),
        slices.name[longest],
        kind,
        np.where(one_layer, slices.layer[begins], -1),
        slices.batch[longest],
        np.add.reduceat(slices.count, begins),
        np.add.reduceat(slices.busy, begins),
    )


def _block(columns: _Columns, index: int, names: Sequence[Node]) -> LaneBlock:
    rank, lane = divmod(int(columns.track[index]), len(LANES))
    return LaneBlock(
        rank,
        LANES[lane],
        int(columns.start[index]),
        int(columns.end[index]),
        int(columns.busy[index]),
        KINDS[int(columns.kind[index])],
        names[int(columns.name[index])].key,
        int(columns.count[index]),
        int(columns.batch[index]),
        int(columns.layer[index]),
    )


_WIDTH, _LABEL, _TOP, _ROW, _BAR = 1120, 190, 24, 30, 11
UNITS = 10_000
"""Width of the plot in its own units."""

_NANOSECONDS = 1e9
_WHOLE = 0.995
"""Share of its time from which a block counts as busy throughout."""

_MOST_TICKS = 8


def drawn_lanes(title: str, lanes: PhaseLanes) -> Markup:
    """The picture of one phase with its heading and what was folded."""
    height = _TOP + _ROW * len(lanes.titles)
    rows = (_row(index, *title) for index, title in enumerate(lanes.titles))
    plot = tag(
        "svg",
        (_rect(block, UNITS / lanes.span) for block in lanes.blocks),
        class_="plot", x=_LABEL, y=_TOP, width=_WIDTH - _LABEL, height=_ROW * len(lanes.titles),
        viewBox=f"0 0 {UNITS} {_ROW * len(lanes.titles)}", preserveAspectRatio="none", data_span=str(lanes.span),
    )  # fmt: skip
    axis = tag("g", _ticks(lanes.span, height), class_="axis", data_height=height)
    picture = tag(
        "svg", axis, rows, plot,
        class_="lanes", viewBox=f"0 0 {_WIDTH} {height + 4}", role="img", aria_label=f"Timeline of {title}",
    )  # fmt: skip
    return tag("figure", tag("figcaption", tag("h3", title), tag("p", _folding(lanes), class_="hint")), picture)


def legend() -> Markup:
    """The tones of all kinds."""
    entries = (tag("li", tag("span", class_=f"swatch {css(kind)}"), kind.value) for kind in KINDS)
    return tag("ul", entries, class_="legend")


def _row(index: int, team: str, ranks: str) -> Markup:
    y = _TOP + index * _ROW
    name, which = cut(team, _LABEL - 10, "text"), cut(ranks, _LABEL - 10, "small")
    upper = tag("text", tag("title", team), name, x=0, y=y + 12, **fixed_width(name, "text"))
    lower = tag("text", tag("title", ranks), which, x=0, y=y + 24, class_="minor", **fixed_width(which, "small"))
    line = tag("line", x1=0, x2=_WIDTH, y1=y + _ROW - 1.5, y2=y + _ROW - 1.5, class_="rule")
    return Markup("") + upper + lower + line


def _rect(block: LaneBlock, scale: float) -> Markup:
    bottom = block.rank * _ROW + 3 + _BAR + (0 if block.lane is Lane.COMPUTE else _BAR + 1)
    width, height = max((block.end - block.start) * scale, 1), max(_BAR * block.share, 1)
    place = f'x="{block.start * scale:.0f}" y="{bottom - height:.3g}" width="{width:.0f}" height="{height:.3g}"'
    shape = f'class="{css(block.kind)}" {place}'
    return Markup(f"<rect {shape}><title>{text(_description(block))}</title></rect>")


def _description(block: LaneBlock) -> str:
    name = block.name if block.count == 1 else f"{block.name} and {block.count - 1} more"
    layer = "" if block.layer < 0 else f" · layer {block.layer}"
    start, duration = (format_seconds(ns / _NANOSECONDS) for ns in (block.start, block.end - block.start))
    busy = "" if block.share > _WHOLE else f", {format_share(block.share)} busy"
    return f"{name}{layer} · micro-batch {block.micro_batch} · {duration}, from {start}{busy}"


def _ticks(span: int, height: int) -> Iterator[Markup]:
    """Lines at round times. The script draws others when it zooms, by the same rule."""
    step = _step(span)
    for number in range(int(span // step) + 1):
        x = _LABEL + number * step / span * (_WIDTH - _LABEL)
        yield tag("line", x1=x, x2=x, y1=_TOP - 6, y2=height)
        if x < _WIDTH - 30:
            yield tag("text", format_seconds(number * step / _NANOSECONDS) if number else "0", x=x + 3, y=_TOP - 10)


def _step(span: int) -> float:
    """1, 2 or 5 times a power of ten nanoseconds."""
    shortest = span / _MOST_TICKS
    power = 10.0 ** ceil(log10(shortest) - 1)
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= shortest)


def _folding(lanes: PhaseLanes) -> str:
    joined = (
        f"; a block is what starts within {format_seconds(lanes.interval / _NANOSECONDS)}, as high as it is busy"
        if lanes.interval
        else ""
    )
    more = f"; {lanes.left_out} more kinds of ranks are not drawn" if lanes.left_out else ""
    return f"{lanes.slices:,} operator executions in {len(lanes.blocks):,} blocks{joined}{more}"
