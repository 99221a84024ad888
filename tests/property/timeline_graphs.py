"""Small priced phases made by hand, for tests of the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dagc.catalog.dtype import Dtype
from dagc.graph.graph import INPUT, Node, PhaseGraph, Segment, StageProgram, Team, Template, Tensor
from dagc.graph.priced import Bound, NodeCost, PricedPhase
from dagc.ops.communication import Communication, Matching, Pattern
from dagc.ops.groups import Groups
from dagc.plan.deployment import Phase
from tests.unit.operators import NO_WORK, communication

NOTHING = np.zeros(1)
VALUE = Tensor(Dtype.BF16, ())
Priced = tuple[Node, NodeCost]


Given = int | Sequence[int] | Sequence[Sequence[int]]
"""A duration: one for all ranks, one for each, or a row of them for each copy."""


def cost(time: Given, bound: Bound = Bound.COMPUTE) -> NodeCost:
    """A given duration."""
    return NodeCost(np.atleast_1d(np.array(time, dtype=np.int64)), bound, lambda: "given", "given",
                    by_traffic=bound is Bound.MEMORY)  # fmt: skip


def compute(
    time: Given,
    inputs: Sequence[int] = (INPUT,),
    after: Sequence[int] = (),
    team: int = 0,
    bound: Bound = Bound.COMPUTE,
) -> Priced:
    """A node on the compute lane."""
    return _node(NO_WORK, inputs, after, team), cost(time, bound)


def collective(
    time: Given,
    groups: Sequence[Sequence[int]],
    inputs: Sequence[int] = (INPUT,),
    after: Sequence[int] = (),
    team: int = 0,
) -> Priced:
    """A node on the communication lane whose groups start together."""
    members = np.array(groups, dtype=np.int64)
    ones = np.ones(len(groups), dtype=np.int64)
    talk = communication(Pattern.ALL_TO_ALL, Groups(members, ones, ones * members.shape[1]), NOTHING)
    return _node(talk, inputs, after, team), cost(time)


def send(time: Given, width: int, inputs: Sequence[int] = (INPUT,), team: int = 0) -> Priced:
    """A send, to whatever meets it."""
    return _node(_message(Pattern.SEND, width, None, None), inputs, (), team), cost(time)


def receive(
    time: Given,
    width: int,
    matching: Matching,
    partner: int | None = None,
    inputs: Sequence[int] = (),
    team: int = 0,
) -> Priced:
    """A receive of the given matching."""
    return _node(_message(Pattern.RECEIVE, width, matching, partner), inputs, (), team), cost(time)


def template(*nodes: Priced, outputs: Sequence[int] | None = None) -> tuple[Template, tuple[NodeCost, ...]]:
    """A template and its costs; it yields its last node."""
    outs = tuple(outputs) if outputs is not None else (len(nodes) - 1,)
    return Template("t", tuple(node for node, _ in nodes), outs), tuple(price for _, price in nodes)


def phase(
    templates: Sequence[tuple[Template, tuple[NodeCost, ...]]],
    programs: Sequence[Sequence[Sequence[tuple[int, int]]]],
    micro_batches: Sequence[int],
    width: int = 1,
    kind: Phase = Phase.PREFILL,
    pool: str = "",
    pool_width: int = 1,
) -> PricedPhase:
    """A priced phase; `programs[size][stage]` lists (template, count).

    `pool` "" has no second team, "each" one for each stage, "shared" one for all.
    """
    stages = len(programs[0])
    teams = [Team("main", s, np.arange(s * width, (s + 1) * width)) for s in range(stages)]
    extra = {"": 0, "each": stages, "shared": 1}[pool]
    first = stages * width
    teams += [Team("pool", s, np.arange(first + s * pool_width, first + (s + 1) * pool_width)) for s in range(extra)]
    built = tuple(
        tuple(
            StageProgram(
                s,
                (s,) if not extra else (s, stages + min(s, extra - 1)),
                tuple(Segment(t, count, None) for t, count in parts),
            )
            for s, parts in enumerate(sized)
        )
        for sized in programs
    )
    graph = PhaseGraph(
        kind,
        "main",
        tuple(teams),
        tuple(t for t, _ in templates),
        built,
        tuple(micro_batches),
        tuple(range(1, len(programs) + 1)),
    )
    return PricedPhase(graph, tuple(costs for _, costs in templates))


def _message(pattern: Pattern, width: int, matching: Matching | None, partner: int | None) -> Communication:
    alone = np.arange(width, dtype=np.int64).reshape(-1, 1)
    ones = np.ones(width, dtype=np.int64)
    return replace(communication(pattern, Groups(alone, ones, ones), NOTHING), matching=matching, partner=partner)


def _node(op, inputs, after, team) -> Node:
    return Node(op.name, op, team, tuple(inputs), tuple(after), VALUE)
