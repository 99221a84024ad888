"""The invariants of a graph, stated apart from what built it.

`verify` takes a graph to the diagnostics of what does not hold; an empty result is the only right one, since a
broken invariant is a fault of this program and not of the plan. Templates are checked once for each set of teams
that runs them, and the loads of operators of equal parameters once. It recomputes no cost and trusts no key: what a
node is, its op and its communication say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import NamedTuple

import numpy as np

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.graph.graph import INPUT, Graph, Node, PhaseGraph, StageProgram, Template
from dagc.ops.communication import Communication, Leg, Matching, Pattern
from dagc.ops.groups import Groups
from dagc.ops.load import Load
from dagc.ops.op import Op
from dagc.ops.token_exchange import TRANSFERS, TokenExchange, TokenGather, TokenScatter, TokenSend

EDGE_ORDER = Code("V001", "edge-not-from-an-earlier-node")
PARTITION = Code("V002", "groups-not-a-partition")
CROSSING = Code("V003", "edge-crosses-teams")
UNMATCHED = Code("V004", "message-without-its-other-end")
BYTES = Code("V005", "message-bytes-differ")
EXCHANGE = Code("V006", "dispatch-and-combine-differ")
SHAPES = Code("V007", "edge-changes-a-kept-dimension")
FUSION = Code("V008", "fused-node-has-work")
LOADS = Code("V009", "load-not-a-vector-over-ranks")
PROGRAM = Code("V010", "program-does-not-fit")
TEAMS = Code("V011", "rank-in-two-teams")
LAYERS = Code("V012", "layers-not-covered-once")

_NOTE = ("this is a bug in dagc, not in the plan",)

_TOLERANCE = 1e-9
"""Relative: the sides of an exchange sum the same numbers in another order."""

_MOST_KNOWN = 10_000
"""Operators whose loads are known."""


def verify(graph: Graph) -> tuple[Diagnostic, ...]:
    """What does not hold, phase by phase."""
    known: set[tuple[int, int]] = set()
    return tuple([problem for phase in graph.classes for problem in _phase(phase, known)])


def verify_layers(graph: Graph, layers: int) -> tuple[Diagnostic, ...]:
    """Whether prefill and decode run each of the model's layers exactly once."""
    return tuple(
        LAYERS.at(None, f"a {phase.phase} micro-batch runs {count} layers of a model of {layers}", notes=_NOTE)
        for phase in (graph.prefill, graph.decode)
        for count in map(_layers, phase.programs)
        if count != layers
    )


def _layers(programs: tuple[StageProgram, ...]) -> int:
    return sum(s.count for program in programs for s in program.segments if s.first_layer is not None)


@dataclass(frozen=True, slots=True)
class _SegmentView:
    """A template as one set of teams runs it, so many times; `widths` are the ranks of each of its teams.

    `loads` are those of each node. `known` holds the partitions that were found right, which nodes, templates and
    phases share, and of how many ranks.
    """

    phase: PhaseGraph
    template: Template
    widths: tuple[int, ...]
    copies: int
    loads: Sequence[Sequence[_LoadShape]]
    known: set[tuple[int, int]]

    def at(self, code: Code, node: Node, message: str) -> Diagnostic:
        """A diagnostic that names the node and its place."""
        place = f"{self.phase.service} {self.phase.phase}, template `{self.template.key}`, node `{node.key}`"
        return code.at(node.span, f"{place}: {message}", notes=_NOTE)


def _phase(phase: PhaseGraph, known: set[tuple[int, int]]) -> Iterator[Diagnostic]:
    yield from _teams(phase)
    unfit = tuple(_programs(phase))
    yield from unfit
    if unfit:
        return
    for view in _views(phase, known):
        for index, node in enumerate(view.template.nodes):
            yield from _node(view, index, node)
        yield from _exchange(view)
    yield from _between_stages(phase)


def _teams(phase: PhaseGraph) -> Iterator[Diagnostic]:
    ranks = np.concatenate([team.ranks for team in phase.teams])
    held, count = np.unique(ranks, return_counts=True)
    if held.shape != ranks.shape:
        yield TEAMS.at(
            None, f"{phase.service} {phase.phase}: rank {held[count > 1][0]} is in more than one team", notes=_NOTE
        )


def _programs(phase: PhaseGraph) -> Iterator[Diagnostic]:
    """Indices that lead somewhere, streams that are there to be taken, layers one after the other."""
    name = f"{phase.service} {phase.phase}"
    for size, programs in enumerate(phase.programs):
        for number, program in enumerate(programs):
            for fault in _program_faults(phase, program, number):
                yield PROGRAM.at(None, f"{name}, size {size}, stage {number}: {fault}", notes=_NOTE)
        for expected, found in _layer_gaps(programs):
            message = f"{name}, size {size}: layer {expected} should be next, not {found}"
            yield LAYERS.at(None, message, notes=_NOTE)
    known = range(len(phase.programs))
    if len(phase.sequences) != len(known) or any(size not in known for size in phase.micro_batches):
        yield PROGRAM.at(None, f"{name}: micro-batches of a size that has no program", notes=_NOTE)


def _layer_gaps(programs: tuple[StageProgram, ...]) -> Iterator[tuple[int, int]]:
    """Where a segment of layers does not begin at the layer that is due: the due one and the one found."""
    due = 0
    for segment in (s for program in programs for s in program.segments):
        if segment.first_layer is not None:
            if segment.first_layer != due:
                yield due, segment.first_layer
            due = segment.first_layer + segment.count


def _program_faults(phase: PhaseGraph, program: StageProgram, number: int) -> Iterator[str]:
    if program.stage != number:
        yield f"holds the program of stage {program.stage}"
    if any(not 0 <= team < len(phase.teams) for team in program.teams):
        yield f"its teams {program.teams} do not all exist"
    if any(not 0 <= s.template < len(phase.templates) or s.count < 1 for s in program.segments):
        yield "a segment has no template or no copies"
        return
    templates = [phase.templates[s.template] for s in program.segments]
    if any(not 0 <= node.team < len(program.teams) for t in templates for node in t.nodes):
        yield "a node runs on a team that the program does not have"
    if any(not 0 <= index < len(t.nodes) for t in templates for index in t.outputs):
        yield "an output is no node of its template"
    follows = [*pairwise(templates), *((t, t) for s, t in zip(program.segments, templates, strict=True) if s.count > 1)]
    for before, after in follows:
        if _streams(after) > len(before.outputs):
            yield f"`{after.key}` takes {_streams(after)} streams and `{before.key}` yields {len(before.outputs)}"


def _streams(template: Template) -> int:
    return max((INPUT - i + 1 for node in template.nodes for i in node.inputs if i <= INPUT), default=0)


def _views(phase: PhaseGraph, known: set[tuple[int, int]]) -> Iterator[_SegmentView]:
    """Each template once for each list of team widths, and each count of copies where it has loads by copy."""
    seen: set[tuple[int, tuple[int, ...], int]] = set()
    loads = [[_load_shapes(node.op) for node in template.nodes] for template in phase.templates]
    by_copy = [any(len(load.shape) > 1 for each in own for load in each) for own in loads]
    for _, program, _, segment in phase.segments():
        widths = tuple(phase.teams[team].width for team in program.teams)
        use = (segment.template, widths, segment.count if by_copy[segment.template] else 1)
        if use not in seen:
            seen.add(use)
            number = segment.template
            yield _SegmentView(phase, phase.templates[number], widths, segment.count, loads[number], known)


class _LoadShape(NamedTuple):
    """What is checked of a load: its name, its shape, and whether all its elements are finite and not negative."""

    name: str
    shape: tuple[int, ...]
    is_sound: bool


_shapes_of: dict[object, tuple[_LoadShape, ...]] = {}
"""Of the loads of operators, by all parameters, which loads follow from."""


def _load_shapes(op: Op) -> tuple[_LoadShape, ...]:
    """Of FLOPs, HBM traffic and bytes sent and received."""
    found = None if op.content is None else _shapes_of.get(op.content)
    if found is not None:
        return found
    loads = [("flops", op.flops), ("memory_bytes", op.memory_bytes)]
    if isinstance(op, Communication):
        loads.append(("bytes", op.bytes))
    if isinstance(op, TokenExchange):
        loads.append(("taken", op.taken))
    found = tuple([_LoadShape(name, load.shape, _is_sound(load)) for name, load in loads])
    if op.content is not None:
        if len(_shapes_of) >= _MOST_KNOWN:
            _shapes_of.clear()
        _shapes_of[op.content] = found
    return found


def _is_sound(load: Load) -> bool:
    return bool(0 <= load.item() < inf if load.size == 1 else load.size and 0 <= load.min() <= load.max() < inf)


def _node(view: _SegmentView, index: int, node: Node) -> Iterator[Diagnostic]:
    wrong = [i for i in (*node.inputs, *node.after) if i >= index]
    wrong += [i for i in node.after if i < 0]
    if wrong:
        yield view.at(EDGE_ORDER, node, f"is node {index} and has an edge from node {wrong[0]}, which is not earlier")
        return
    yield from _edges(view, node)
    if node.fused_into is not None:
        yield from _fusion(view, index, node, node.fused_into)
    yield from _loads(view, index, node)
    if node.communication is not None:
        yield from _communication(view, node, node.communication)


def _edges(view: _SegmentView, node: Node) -> Iterator[Diagnostic]:
    nodes, keeps, team = view.template.nodes, node.op.keeps, node.team
    for i in (*node.inputs, *node.after):
        if i >= 0 and nodes[i].team != team:
            yield view.at(CROSSING, node, f"follows `{nodes[i].key}` of another team without a message")
    sizes = {dim.letter: dim.size for dim in node.output.dims if dim.letter in keeps}
    for source in [nodes[i] for i in node.inputs if i >= 0] if sizes else ():
        for dim in source.output.dims:
            if sizes.get(dim.letter, dim.size) != dim.size:
                message = f"keeps `{dim.letter}`, but yields {node.output} of `{source.key}`'s {source.output}"
                yield view.at(SHAPES, node, message)


def _fusion(view: _SegmentView, index: int, node: Node, into: int) -> Iterator[Diagnostic]:
    if not index < into < len(view.template.nodes):
        yield view.at(FUSION, node, f"is fused into node {into}, which does not come after it")
        return
    kernel = view.template.nodes[into]
    if kernel.team != node.team or kernel.op.lane is not node.op.lane or kernel.fused_into is not None:
        yield view.at(FUSION, node, f"is fused into `{kernel.key}`, which runs elsewhere")
    if node.flops.any() or node.memory_bytes.any() or node.communication:
        yield view.at(FUSION, node, f"has work of its own beside that of `{kernel.key}`")


def _loads(view: _SegmentView, index: int, node: Node) -> Iterator[Diagnostic]:
    width = view.widths[node.team]
    for name, shape, is_sound in view.loads[index]:
        if shape not in ((1,), (width,), (view.copies, 1), (view.copies, width)):
            yield view.at(LOADS, node, f"{name} has shape {shape} on {width} ranks, {view.copies} copies")
        elif not is_sound:
            yield view.at(LOADS, node, f"{name} has a negative or infinite element")


def _communication(view: _SegmentView, node: Node, communication: Communication) -> Iterator[Diagnostic]:
    groups, width = communication.groups, view.widths[node.team]
    if (id(groups), width) not in view.known:
        fault = _partition_fault(groups, width)
        if fault:
            yield view.at(PARTITION, node, fault)
            return
        view.known.add((id(groups), width))
    is_message = communication.pattern in (Pattern.SEND, Pattern.RECEIVE)
    if is_message and groups.size != 1:
        yield view.at(PARTITION, node, f"is a message, but its groups have {groups.size} ranks")
    if communication.pattern is Pattern.RECEIVE:
        yield from _receive(view, node, communication)
    elif isinstance(communication, TokenSend):
        index = view.template.nodes.index(node)
        if not any(n.communication and n.communication.partner == index for n in view.template.nodes):
            yield view.at(UNMATCHED, node, "is received by no node of its template")


def _partition_fault(groups: Groups, width: int) -> str:
    """What is wrong with groups of `width` ranks; empty for a partition that says where it lies."""
    members = groups.members
    if members.ndim != 2 or not np.array_equal(np.sort(members, axis=None), np.arange(width)):
        return f"its groups do not hold each of the {width} ranks once"
    spread = (groups.nodes.shape, groups.local.shape) == ((len(members),), (len(members),))
    if not spread or bool(np.any((groups.local < 1) | (groups.local > groups.size) | (groups.nodes < 1))):
        return "its groups do not say on how many nodes they lie"
    return ""


def _receive(view: _SegmentView, node: Node, communication: Communication) -> Iterator[Diagnostic]:
    if communication.matching is None:
        yield view.at(UNMATCHED, node, "does not name its matching send")
    if communication.matching is not Matching.TEMPLATE:
        return
    nodes, partner = view.template.nodes, communication.partner
    sender = nodes[partner] if partner is not None and 0 <= partner < nodes.index(node) else None
    if sender is None or sender.communication is None or sender.communication.pattern is not Pattern.SEND:
        yield view.at(UNMATCHED, node, "its partner is no earlier send of the template")
    elif sender.team == node.team:
        yield view.at(UNMATCHED, node, f"its partner `{sender.key}` runs on its own team")
    else:
        sent = _total(sender.communication.bytes, view.widths[sender.team])
        taken = _total(communication.bytes, view.widths[node.team])
        if not _same(sent, taken):
            received, left = float(taken.sum()), float(sent.sum())
            yield view.at(BYTES, node, f"receives {received:.0f} bytes of the {left:.0f} that `{sender.key}` sends")


def _exchange(view: _SegmentView) -> Iterator[Diagnostic]:
    """Rows dispatched and combined over all ranks: a token's vectors come back as often as they left, in any type."""
    totals = {Leg.DISPATCH: np.zeros(1), Leg.COMBINE: np.zeros(1)}
    last: Node | None = None
    gathered: list[TokenGather] = []
    for node in view.template.nodes:
        if isinstance(node.op, TRANSFERS) and node.op.leg:
            rows = _total(node.op.bytes, view.widths[node.team]) / node.op.row_bytes
            totals[node.op.leg] = totals[node.op.leg] + rows
            last = node
            if isinstance(node.op, TokenExchange):
                yield from _taken(view, node, node.op)
            elif isinstance(node.op, TokenGather):
                gathered.append(node.op)
            elif isinstance(node.op, TokenScatter):
                yield from _scattered(view, node, gathered.pop(0) if gathered else None)
    if last is not None and not _same(totals[Leg.DISPATCH], totals[Leg.COMBINE]):
        out, back = float(totals[Leg.DISPATCH].sum()), float(totals[Leg.COMBINE].sum())
        message = f"{out:.0f} rows are dispatched and {back:.0f} combined"
        yield view.at(EXCHANGE, last, message)


def _scattered(view: _SegmentView, node: Node, gather: TokenGather | None) -> Iterator[Diagnostic]:
    """Sums go back to the ranks that the tokens came from, in the order of the gathers."""
    groups = node.communication.groups if node.communication else None
    if gather is None or groups is None or not np.array_equal(gather.groups.members, groups.members):
        yield view.at(EXCHANGE, node, "reduces over other ranks than those whose tokens were gathered")


def _taken(view: _SegmentView, node: Node, exchange: TokenExchange) -> Iterator[Diagnostic]:
    """What the ranks of an expert group send is what they receive."""
    sent, taken = (_total(load, view.widths[node.team]) for load in (exchange.bytes, exchange.taken))
    if not _same(sent, taken):
        message = f"{float(taken.sum()):.0f} bytes arrive of the {float(sent.sum()):.0f} that are sent"
        yield view.at(BYTES, node, message)


def _between_stages(phase: PhaseGraph) -> Iterator[Diagnostic]:
    """Sends of a stage against receives of the next, and of the last against the first for the next step."""
    messages = [_messages(template) for template in phase.templates]

    def of(program: StageProgram, pattern: Pattern, matching: Matching | None) -> list[tuple[_SegmentView, Node]]:
        widths = tuple(phase.teams[team].width for team in program.teams)
        return [
            (_SegmentView(phase, phase.templates[segment.template], widths, segment.count, (), set()), node)
            for segment in program.segments
            for node, message in messages[segment.template]
            if message.pattern is pattern and message.matching is matching
        ]

    for programs in phase.programs:
        for number, program in enumerate(programs):
            following = programs[(number + 1) % len(programs)]
            matching = Matching.STEP if number == len(programs) - 1 else Matching.STAGE
            yield from _matched(of(program, Pattern.SEND, None), of(following, Pattern.RECEIVE, matching))


def _matched(sends: list[tuple[_SegmentView, Node]], receives: list[tuple[_SegmentView, Node]]) -> Iterator[Diagnostic]:
    for view, node in (*sends[len(receives) :], *receives[len(sends) :]):
        yield view.at(UNMATCHED, node, "has no partner in the neighbouring stage")
    for (source, sender), (target, receiver) in zip(sends, receives, strict=False):
        sent, taken = _payload(source, sender), _payload(target, receiver)
        if not _same(sent, taken):
            yield target.at(BYTES, receiver, f"receives a different number of bytes per rank than `{sender.key}` sends")


def _messages(template: Template) -> list[tuple[Node, Communication]]:
    """Messages with other stages; a send that a node of its own template receives is not among them."""
    found = [(index, node, node.op) for index, node in enumerate(template.nodes) if isinstance(node.op, Communication)]
    inside = {op.partner for _, _, op in found}
    return [(node, op) for index, node, op in found if index not in inside]


def _payload(view: _SegmentView, node: Node) -> Load:
    load = node.communication.bytes if node.communication else np.zeros(1)
    return np.broadcast_to(load, (view.widths[node.team],))


def _total(load: Load, width: int) -> Load:
    """Over all ranks, for each copy where copies differ; shape (1,) or (copies,)."""
    return np.atleast_1d(load.sum(axis=-1) * (width / load.shape[-1]))


def _same(one: Load, other: Load) -> bool:
    return bool(np.all(np.abs(one - other) <= _TOLERANCE * np.maximum(one, other)))
