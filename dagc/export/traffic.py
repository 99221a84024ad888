"""A phase becomes the bytes that go from rank to rank, folded into blocks of ranks.

A collective is counted as what its definition moves, whatever algorithm carries it: of n members each sends every
other one n-th of an all-gather's result, of a reduce-scatter's input or of an all-to-all, and twice that of an
all-reduce (reduce-scatter, then all-gather). Where ranks take unequal shares of an all-to-all, so do the bytes that
are sent to them. A send between stages goes from rank r to rank r, one between pools to each rank of the other.

Works on groups by block, never on pairs of ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.graph.graph import Node, PhaseGraph, Segment, StageProgram, Team
from dagc.ops.communication import Matching, Pattern
from dagc.ops.load import Load
from dagc.ops.op import Op
from dagc.plan.layout import Ranks

MOST_BLOCKS = 16
"""Rows and columns of the folded matrix."""

Bytes = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Bytes of one pass of a phase over all its ranks, in one replica.

    `ranks` are the first and last global rank of each block; `sent[i, j]` are the bytes from block i to block j, those
    between different ranks of one block on the diagonal. `between_nodes` are those that leave a node.
    """

    ranks: tuple[tuple[int, int], ...]
    block: int
    sent: Bytes
    between_nodes: float

    @property
    def total(self) -> float:
        """All bytes that a rank sends to another."""
        return float(self.sent.sum())


def traffic(graph: PhaseGraph, gpus_per_node: int) -> Traffic:
    """The matrix of a phase; `gpus_per_node` is the size of the scale-up domain."""
    everyone = np.unique(np.concatenate([team.ranks for team in graph.teams]))
    block = 1 << max(0, -(-everyone.size // MOST_BLOCKS) - 1).bit_length()
    position = np.arange(everyone.size) // block
    _, node = np.unique(everyone // gpus_per_node, return_inverse=True)
    sent = _folded(graph, everyone, position)
    by_node = _folded(graph, everyone, node)
    starts = range(0, everyone.size, block)
    ranks = tuple((int(everyone[i]), int(everyone[min(i + block, everyone.size) - 1])) for i in starts)
    return Traffic(ranks, block, sent, float(by_node.sum() - np.trace(by_node)))


def _folded(graph: PhaseGraph, everyone: Ranks, block: Ranks) -> Bytes:
    """The matrix by block; `block` is that of each of `everyone`, numbered from 0."""
    found = np.zeros((int(block.max()) + 1,) * 2)
    for size, program, _, segment in graph.segments():
        often = graph.uses[size]
        for index, node in enumerate(graph.templates[segment.template].nodes):
            if often and node.communication is not None:
                flow = _Flow(graph, size, program, segment, node, index)
                _add(found, flow, everyone, block, often)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Flow:
    """A communication of one segment."""

    graph: PhaseGraph
    size: int
    program: StageProgram
    segment: Segment
    node: Node
    index: int

    @property
    def team(self) -> Team:
        return self.graph.teams[self.program.teams[self.node.team]]

    def load(self, load: Load) -> Bytes:
        """What each rank of a load has over all layers of the segment, shape (1,) or (width,)."""
        return load.sum(axis=0) if load.ndim > 1 else load * self.segment.count


def _add(found: Bytes, flow: _Flow, everyone: Ranks, block: Ranks, often: int) -> None:
    communication = flow.node.communication
    if communication is None or communication.pattern is Pattern.RECEIVE:
        return
    here = block[np.searchsorted(everyone, flow.team.ranks)]
    bytes_out = np.broadcast_to(flow.load(communication.bytes), here.shape) * often
    if communication.pattern is Pattern.SEND:
        _add_send(found, flow, bytes_out, here, everyone, block)
        return
    factor = communication.passes
    taken = np.broadcast_to(flow.load(communication.shares), here.shape)
    members = communication.groups.members
    shares = _shares(taken[members])
    out = _by_block(factor * bytes_out[members], here[members], found.shape[0])
    found += out.T @ _by_block(shares, here[members], found.shape[0])
    kept = factor * bytes_out[members] * shares
    found[np.diag_indices_from(found)] -= np.bincount(here[members].ravel(), kept.ravel(), found.shape[0])


def _shares(taken: Bytes) -> Bytes:
    """What part of a group's bytes each member takes; where none takes any, all alike."""
    whole = taken.sum(axis=1, keepdims=True)
    return np.where(whole > 0, taken / np.where(whole > 0, whole, 1.0), 1.0 / taken.shape[1])


def _by_block(values: Bytes, blocks: Ranks, count: int) -> Bytes:
    """Sums by group and block, shape (groups, count)."""
    groups = count * np.arange(len(values), dtype=np.int64)[:, None]
    found = np.asarray(np.bincount((groups + blocks).ravel(), values.ravel(), len(values) * count), dtype=np.float64)
    return found.reshape(-1, count)


def _add_send(found: Bytes, flow: _Flow, sent: Bytes, here: Ranks, everyone: Ranks, block: Ranks) -> None:
    """A message to the same rank of another stage, or parts of it to all ranks of another team."""
    receivers = _receivers(flow)
    if not receivers:
        there = block[np.searchsorted(everyone, _next(flow).ranks)]
        np.add.at(found, (here, there), np.where(_next(flow) is flow.team, 0.0, sent))
        return
    places = np.concatenate([block[np.searchsorted(everyone, team.ranks)] for team, _ in receivers])
    taken = np.concatenate([_received(flow, node, team) for team, node in receivers])
    out = np.bincount(here, sent, found.shape[0])
    found += np.outer(out, np.bincount(places, _shares(taken[None, :])[0], found.shape[0]))


def _receivers(flow: _Flow) -> list[tuple[Team, Node]]:
    """The teams that receive a message inside of its template; none where it goes to another stage."""
    return [
        (flow.graph.teams[flow.program.teams[node.team]], node)
        for node in flow.graph.templates[flow.segment.template].nodes
        if node.communication
        and node.communication.matching is Matching.TEMPLATE
        and node.communication.partner == flow.index
    ]


def _received(flow: _Flow, node: Node, team: Team) -> Bytes:
    communication = node.communication
    return np.broadcast_to(flow.load(communication.bytes) if communication else np.zeros(1), (team.width,))


def _next(flow: _Flow) -> Team:
    """The team of the next stage; after the last one, of the first, which takes the tokens of the next step."""
    programs = flow.graph.programs[flow.size]
    place = next(i for i, program in enumerate(programs) if program.stage == flow.program.stage)
    return flow.graph.teams[programs[(place + 1) % len(programs)].teams[0]]


@dataclass(frozen=True, slots=True)
class StageTraffic:
    """Bytes over all ranks: `inside` goes over the links of a node (NVLink), `between` over the network."""

    inside: float = 0.0
    between: float = 0.0

    @property
    def total(self) -> float:
        """Both."""
        return self.inside + self.between


def crossing(
    graph: PhaseGraph, stage: int, gpus_per_node: int, team: int | None = None, ops: tuple[type[Op], ...] = ()
) -> StageTraffic:
    """What a stage sends for one micro-batch of the largest size: one of its teams or all, by `ops` or by all.

    No matrix is made, so that the size of the cluster does not matter.
    """
    inside = whole = 0.0
    for size, program, _, segment in graph.segments():
        if size or program.stage != stage:
            continue
        for index, node in enumerate(graph.templates[segment.template].nodes):
            if team in (None, node.team) and (not ops or isinstance(node.op, ops)):
                near, every = _near(_Flow(graph, size, program, segment, node, index), gpus_per_node)
                inside, whole = inside + near, whole + every
    return StageTraffic(inside, max(0.0, whole - inside))


def _near(flow: _Flow, per_node: int) -> tuple[float, float]:
    """Bytes that stay inside a node, and all bytes; what a rank keeps is in neither."""
    communication = flow.node.communication
    if communication is None or communication.pattern is Pattern.RECEIVE:
        return 0.0, 0.0
    here = flow.team.ranks // per_node
    out = np.broadcast_to(flow.load(communication.bytes), here.shape)
    if communication.pattern is Pattern.SEND:
        return _near_send(flow, out, here, per_node)
    members = communication.groups.members
    taken = np.broadcast_to(flow.load(communication.shares), here.shape)
    factor = communication.passes
    sent, shares = factor * out[members], _shares(taken[members])
    kept = float((sent * shares).sum())
    pairs = np.arange(len(members), dtype=np.int64)[:, None] * (int(here.max()) + 1) + here[members]
    _, cell = np.unique(pairs.ravel(), return_inverse=True)
    near = float((np.bincount(cell, sent.ravel()) * np.bincount(cell, shares.ravel())).sum())
    return max(0.0, near - kept), float(sent.sum()) - kept


def _near_send(flow: _Flow, out: Bytes, here: Ranks, per_node: int) -> tuple[float, float]:
    receivers = _receivers(flow)
    if not receivers:
        to = _next(flow)
        if to is flow.team:
            return 0.0, 0.0
        return float(out[here == to.ranks // per_node].sum()), float(out.sum())
    places = np.concatenate([team.ranks // per_node for team, _ in receivers])
    taken = _shares(np.concatenate([_received(flow, node, team) for team, node in receivers])[None, :])[0]
    count = int(max(here.max(), places.max())) + 1
    near = np.bincount(here, out, count) * np.bincount(places, taken, count)
    return float(near.sum()), float(out.sum())
