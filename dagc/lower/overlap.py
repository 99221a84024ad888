"""Two half micro-batches in one template, so that the communication of one runs beside the computation of the other.

Takes the nodes of each half, each a chain of its own, and deals them out in turns that end where communication ends:
a's first turn, b's first, a's second, and so on. Every lane keeps one static order; no edge joins the halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from dagc.graph.graph import INPUT, Node, Template
from dagc.ops.communication import Communication
from dagc.ops.op import Lane

STREAMS = ("a", "b")


def interleave(key: str, halves: tuple[Sequence[Node], Sequence[Node]]) -> Template:
    """One template of two streams. Each half's last node is the output of its stream."""
    turns = zip_longest(*(_turns(stream, nodes) for stream, nodes in enumerate(halves)), fillvalue=())
    order = tuple(chain.from_iterable(chain.from_iterable(turns)))
    position = {place: index for index, place in enumerate(order)}
    nodes = tuple(_moved(halves[stream][index], stream, position) for stream, index in order)
    outputs = tuple(position[stream, len(half) - 1] for stream, half in enumerate(halves))
    return Template(key, nodes, outputs)


def _turns(stream: int, nodes: Sequence[Node]) -> list[tuple[tuple[int, int], ...]]:
    """Places of the nodes in runs of computation followed by communication."""
    turns: list[tuple[tuple[int, int], ...]] = []
    start = 0
    for index in range(1, len(nodes)):
        ends = nodes[index - 1].op.lane is Lane.COMMUNICATION and nodes[index].op.lane is Lane.COMPUTE
        if ends:
            turns.append(tuple((stream, i) for i in range(start, index)))
            start = index
    turns.append(tuple((stream, i) for i in range(start, len(nodes))))
    return turns


def _moved(node: Node, stream: int, position: dict[tuple[int, int], int]) -> Node:
    """The node in its new place, its edges following."""

    def index(old: int) -> int:
        return INPUT - stream if old == INPUT else position[stream, old]

    op = node.op
    if isinstance(op, Communication) and op.partner is not None:
        op = replace(op, partner=index(op.partner))
    return Node(
        key=f"{STREAMS[stream]}.{node.key}",
        op=op,
        team=node.team,
        inputs=tuple([index(i) for i in node.inputs]),
        after=tuple([index(i) for i in node.after]),
        output=node.output,
        fused_into=None if node.fused_into is None else index(node.fused_into),
        span=node.span,
    )
