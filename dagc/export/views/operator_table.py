"""Operators in words and as a table: a row each in program order, with its output, and its times beside bars.

Arrows between rows are the table's own: from each row to the next beside their signs, longer ones in lanes of a gutter.
Outputs are written in few letters: sizes that differ between phases or recur get a letter, and a key says what it is.
Letters are those of `graph.tensor`. A second size of the same letter is `t2`, a third `t3`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from dagc.export.titles import group_size, moved_bytes, shape_text, time_text, total
from dagc.export.view_model import EdgeView, NodeInPhase, NodeView
from dagc.export.views.view import ArrowKind, Bar, Box, BoxShape, Cell, Flow, Sign, TableColumn
from dagc.graph.graph import Dim
from dagc.ops.gemm import Router
from dagc.ops.op import Category
from dagc.results.serving import bound_text
from dagc.units import format_bytes, format_count, format_gpus

_ABSENT = "–"
_SHAPES = {
    Category.COMPUTE: BoxShape.COMPUTE,
    Category.COMMUNICATION: BoxShape.COMMUNICATION,
    Category.ROUTING: BoxShape.ROUTING,
}
_LINES = {"data": ArrowKind.DATA, "order": ArrowKind.ORDER, "transfer": ArrowKind.MESSAGE}


@dataclass(frozen=True, slots=True)
class OperatorRows:
    """What a table shows: operators in program order under a head, `prefix` the words that their names leave out.

    `edges` are those of their segments; what leads out of the table is left out.
    """

    head: str
    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]
    prefix: str = ""


def operator_table(
    name: str,
    rows: OperatorRows,
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
    columns = [TableColumn("", signs), TableColumn(rows.head, tuple(_name(view, rows.prefix) for view in rows.nodes))]
    pools = [view.one.team.pool for view in rows.nodes]
    if len(set(pools)) > 1:
        columns.append(TableColumn("pool", tuple(pools)))
    if key:
        columns.append(TableColumn("output", tuple(key.text(view) for view in rows.nodes)))
    for phase, named in enumerate(phases):
        columns.append(TableColumn(named, tuple(_time(view, phase) for view in rows.nodes)))
        if longest:
            columns.append(TableColumn("", tuple(_bar(view, phase, longest[phase]) for view in rows.nodes)))
    hovers = tuple(operator_hover(view, phases) for view in rows.nodes)
    return Box(name, BoxShape.TABLE, (), link=link, columns=tuple(columns), hovers=hovers, flows=flows)


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


def _flows(rows: OperatorRows, marks: bool) -> Iterator[Flow]:
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
        elif line is not ArrowKind.ORDER:
            free = (i for i, taken in enumerate(lanes) if all(head <= a or tail >= b for a, b in taken))
            lane = next(free, len(lanes))
            lanes += [[]] if lane == len(lanes) else []
            lanes[lane].append((tail, head))
            yield Flow(tail, head, line, critical, lane + 1)


def _line(edge: EdgeView, tail: NodeView) -> ArrowKind:
    line = _LINES[edge.kind]
    return ArrowKind.CHOICE if line is ArrowKind.DATA and isinstance(tail.one.node.op, Router) else line


_PAYLOADS = {"pipeline": "hidden states", "token": "sampled tokens"}
"""What the messages between stages carry, by the first word of their keys."""


def operator_chip(name: str, view: NodeView, phases: tuple[str, ...], link: str = "") -> Box:
    """A small box of two lines: what is moved, and the time of each phase. Bytes and bounds are in its hover text."""
    first, *rest = view.key.split(".")
    payload = _PAYLOADS.get(first, "")
    title = f"{' '.join(rest)} {payload}".strip() if payload else view.key
    return Box(
        name,
        BoxShape.CHIP,
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


def _work(shown: NodeInPhase) -> str:
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


_ALWAYS = "tsm"
"""Letters of sizes that recur in nearly every operator."""

_MEANINGS = {
    "t": "tokens", "s": "context positions", "h": "heads", "d": "head width", "m": "hidden", "f": "feed-forward width",
    "e": "experts", "k": "experts per token", "v": "vocabulary", "c": "latent width",
}  # fmt: skip

_Sizes = tuple[int | None, ...]
"""Size in each phase, None in one that does not run the operator."""


class ShapesKey:
    """Grows with each tensor that is written; the key is complete after the last one."""

    def __init__(self, phases: tuple[str, ...]) -> None:
        self._phases = phases
        self._sizes: dict[str, list[_Sizes]] = {}
        self._plain: set[str] = set()
        self._sharded: set[str] = set()
        self._partial: set[str] = set()

    def text(self, view: NodeView) -> str:
        """`bf16[t/dp, h=64/tp, d=192]`: the output of an operator in all phases."""
        one = view.one.node.output
        axes = dict(one.sharded)
        parts: list[str] = []
        for place, dim in enumerate(one.dims):
            size = self._size(dim, tuple(_at(view, phase, place) for phase in range(len(self._phases))))
            axis = axes.get(dim.letter)
            parts.append(f"{size}/{axis}" if axis else size)
            self._sharded |= {f"/{axis}"} if axis else set()
        tail = f" +{one.partial}" if one.partial else ""
        self._partial |= {f"+{one.partial}"} if one.partial else set()
        return f"{one.dtype}[{', '.join(parts)}]{tail}"

    def _size(self, dim: Dim, sizes: _Sizes) -> str:
        if dim.letter not in _ALWAYS and len({size for size in sizes if size is not None}) == 1:
            self._plain.add(dim.letter)
            return f"{dim.letter}={dim.size}"
        known = self._sizes.setdefault(dim.letter, [])
        for index, other in enumerate(known):
            if all(a is None or b is None or a == b for a, b in zip(sizes, other, strict=True)):
                known[index] = tuple(b if a is None else a for a, b in zip(sizes, other, strict=True))
                return _letter(dim.letter, index)
        known.append(sizes)
        return _letter(dim.letter, len(known) - 1)

    def lines(self, characters: int) -> tuple[str, ...]:
        """What the letters are, in lines of at most so many characters."""
        parts = [*self._entries()]
        parts += [f"{letter} {_MEANINGS[letter]}" for letter in sorted(self._plain - self._sizes.keys())]
        parts += [f"{' '.join(sorted(self._sharded))} sharded over that axis"] if self._sharded else []
        parts += [f"{' '.join(sorted(self._partial))} partial sums over that axis"] if self._partial else []
        whole = "; ".join(item.replace(" ", "\N{NO-BREAK SPACE}") for item in parts)
        return tuple(wrap(f"shapes: {whole}", characters)) if parts else ()

    def _entries(self) -> Iterator[str]:
        for letter, known in self._sizes.items():
            for index, sizes in enumerate(known):
                found = [(phase, size) for phase, size in zip(self._phases, sizes, strict=True) if size is not None]
                if len({size for _, size in found}) == 1:
                    yield f"{_letter(letter, index)} = {found[0][1]:,} {_MEANINGS[letter]}"
                    continue
                (phase, size), *others = found
                rest = "".join(f", {size:,} in {phase}" for phase, size in others)
                yield f"{_letter(letter, index)} = {size:,} {_MEANINGS[letter]} in {phase}{rest}"


def _letter(letter: str, index: int) -> str:
    return f"{letter}{index + 1}" if index else letter


def _at(view: NodeView, phase: int, place: int) -> int | None:
    """Size of a dimension in a phase; None where the phase has no such dimension."""
    shown = view.phases[phase]
    dims = shown.node.output.dims if shown else ()
    same = place < len(dims) and dims[place].letter == view.one.node.output.dims[place].letter
    return dims[place].size if same else None
