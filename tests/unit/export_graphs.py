"""Small graphs with chosen times, built by hand for the tests of the exports.

Two pipeline stages of two ranks. Stage 0: embedding, two MoE layers; stage 1: one MoE layer, head. A layer is
attention, router, dispatch, experts, combine; rank 1's experts take longer. Durations are whole microseconds, starts
are laid out one after the other.
"""

from __future__ import annotations

import numpy as np

from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelSpec
from dagc.degrees import AxisKind
from dagc.graph.graph import (
    INPUT,
    Dim,
    Graph,
    Node,
    PhaseGraph,
    Segment,
    StageProgram,
    Team,
    Template,
    Tensor,
)
from dagc.graph.priced import Bound, NodeCost, PricedPhase
from dagc.ops.attention_core import AttentionCore
from dagc.ops.communication import Communication, Leg, Matching, Pattern
from dagc.ops.elementwise import Activation, Embedding
from dagc.ops.gemm import Gemm, Router
from dagc.ops.grouped_gemm import GroupedGemm
from dagc.ops.groups import Groups
from dagc.ops.op import Op
from dagc.plan.deployment import Deployment, Options, Phase, Pool, Role, Service
from dagc.plan.layout import Factor, Layout
from dagc.plan.plan import Facts, Plan
from dagc.plan.workload import Workload
from dagc.schedule.schedule import schedule
from dagc.schedule.timeline import Timeline
from dagc.source import Source
from dagc.syntax.tree import Axis, NamedStrategy
from tests.unit.operators import communication, exchange, given

MICROSECOND = 1_000_000
EXPERT_TIMES = (5 * MICROSECOND, 7 * MICROSECOND)


def plan(name: str = "main", text: str = "pp 2 < ep 2 >") -> Plan:
    """A plan of two stages of two GPUs, whose strategy has this name and text."""
    source = Source("plan.moe", text)
    span = source.span(0, len(text))
    body = Axis(AxisKind.PP, 2, (), None, span, span)
    layout = Layout((Factor(AxisKind.EP, 2),))
    pool = Pool("main", Role.ALL, 2, 2, Layout((Factor(AxisKind.DP, 2, implied=True),)), layout, None, 0, 2)
    service = Service(Phase.BOTH, 1, 2, (pool,), Options(), (), 0, 4, span)
    deployment = Deployment(NamedStrategy(name, None, body, span), 1, (service,), 4, 4, ("2 × 2 = 4",), 4)
    device = DeviceSpec("toy", 64e9, 1e12, {Dtype.BF16: 1e14}, 0.6, 0.8)
    cluster = ClusterSpec("toy", device, 4, 8, 1e11, 1e10, 1e-6, 1e-5, 0.8, 0.8)
    return Plan(deployment, Facts(ModelSpec(name), cluster, Workload(4, 16, 4), (), (), (), ()))


def graph() -> Graph:
    """The graph of both phases; decode is prefill with one token a sequence."""
    return Graph(phase_graph(Phase.PREFILL, 16), phase_graph(Phase.DECODE, 1), None, 1)


def timelines(of: Graph) -> tuple[Timeline, ...]:
    """The times of each phase."""
    return tuple(timeline(phase) for phase in of.phases)


def phase_graph(phase: Phase, tokens: int) -> PhaseGraph:
    """One phase, two micro-batches of one size."""
    teams = tuple(Team("main", stage, np.arange(2 * stage, 2 * stage + 2)) for stage in range(2))
    templates = (
        Template("embedding", (_node("embedding", Embedding, tokens, ()),), (0,)),
        _layer(tokens),
        Template("send", (_transfer("send", Pattern.SEND, tokens, (INPUT,)),), (0,)),
        Template("receive", (_transfer("receive", Pattern.RECEIVE, tokens, ()),), (0,)),
        Template("head", (_node("head", Gemm, tokens, (INPUT,)),), (0,)),
    )
    first = StageProgram(0, (0,), (Segment(0, 1, None), Segment(1, 2, 0), Segment(2, 1, None)))
    second = StageProgram(1, (1,), (Segment(3, 1, None), Segment(1, 1, 2), Segment(4, 1, None)))
    return PhaseGraph(phase, "main", teams, templates, ((first, second),), (0, 0), (2,))


def timeline(phase: PhaseGraph) -> Timeline:
    """The schedule of a phase with given times, of which one step is shown."""
    costs = tuple(tuple(_cost(node) for node in template.nodes) for template in phase.templates)
    found = schedule(PricedPhase(phase, costs))
    found.__dict__.update(later=[], steps=1)
    return found


def _layer(tokens: int) -> Template:
    both = Groups(np.array([[0, 1]]), np.array([1]), np.array([2]))
    load = np.array([4096.0])
    dispatch, combine = (exchange(leg, both, load, load, axes=(AxisKind.EP,)) for leg in Leg)
    nodes = (
        _node("attention", AttentionCore, tokens, (INPUT,)),
        _node("router", Router, tokens, (0,)),
        _node("dispatch", dispatch, tokens, (0, 1)),
        _node("experts", GroupedGemm, tokens, (2,)),
        _node("activation", Activation, tokens, (3,), fused_into=3),
        _node("combine", combine, tokens, (4,)),
    )
    return Template("moe", nodes, (5,))


def _node(
    key: str,
    kind: type[Op] | Communication,
    tokens: int,
    inputs: tuple[int, ...],
    fused_into: int | None = None,
) -> Node:
    tensor = Tensor(Dtype.BF16, (Dim("t", tokens), Dim("m", 64)), (("t", AxisKind.DP),))
    load = np.array([1000.0, 1400.0]) if kind is GroupedGemm else np.array([1000.0])
    op = kind if isinstance(kind, Communication) else given(kind, load, (("m", tokens), ("n", 64)))
    span = Source("plan.moe", "# comment\npp 2 < ep 2 >").span(17, 21)
    return Node(key, op, 0, inputs, (), tensor, fused_into, span)


def _transfer(key: str, pattern: Pattern, tokens: int, inputs: tuple[int, ...]) -> Node:
    single = Groups(np.array([[0], [1]]), np.array([1, 1]), np.array([1, 1]))
    matching = Matching.STAGE if pattern is Pattern.RECEIVE else None
    message = communication(pattern, single, np.array([2048.0]), (AxisKind.PP,), matching)
    return _node(key, message, tokens, inputs)


def _cost(node: Node) -> NodeCost:
    if node.fused_into is not None:
        return NodeCost(np.zeros(1, dtype=np.int64), Bound.NONE, lambda: "in its product", "given")
    by_rank = EXPERT_TIMES if isinstance(node.op, GroupedGemm) else (3 * MICROSECOND + 333,)
    bound = Bound.NETWORK if node.communication else Bound.COMPUTE
    return NodeCost(np.array(by_rank, dtype=np.int64), bound, lambda: "work / peak", "given",
                    by_traffic=bound is Bound.MEMORY)  # fmt: skip
