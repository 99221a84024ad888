"""Each invariant, broken on purpose: the verifier names the one that is broken and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.dtype import Dtype
from dagc.engines.runtime import ExpertExchange
from dagc.graph.graph import Dim, Graph, Node, PhaseGraph, Tensor
from dagc.graph.verify import verify, verify_layers
from dagc.lower.lower import lower
from dagc.plan.deployment import Options, Phase
from tests.unit.lowering_plans import folded, layout, message, plan, service, template
from tests.unit.operators import Work

Change = Callable[[PhaseGraph, Node], Node]


def position(phase: PhaseGraph, key: str, of: str = "moe") -> int:
    return [n.key for n in template(phase, of).nodes].index(key)


def broken(graph: Graph, key: str, change: Change, of: str = "moe") -> Graph:
    """The graph with one node of decode changed."""
    decode = graph.decode
    where = position(decode, key, of)
    old = template(decode, of)
    nodes = tuple(change(decode, n) if i == where else n for i, n in enumerate(old.nodes))
    templates = tuple(replace(t, nodes=nodes) if t is old else t for t in decode.templates)
    return replace(graph, decode=replace(decode, templates=templates))


def codes(graph: Graph) -> set[str]:
    return {problem.code.code for problem in verify(graph)}


def regrouped(node: Node, **changes: object) -> Node:
    groups = replace(message(node).groups, **changes)
    return replace(node, op=replace(message(node), groups=groups))


def carrying(node: Node, payload: object) -> Node:
    return replace(node, op=replace(message(node), bytes=payload))


def exchanging(node: Node, share: float) -> Node:
    """The same with a share of the bytes, sent and received."""
    return replace(node, op=node.op.scaled(share))


def pools() -> Graph:
    return lower(plan(service(layout(dp=4), layout(ep=3, tp=2), pool_stages=1)))


@pytest.mark.parametrize("build", [lambda: lower(folded()), pools])
def test_whole_graphs_have_nothing_to_say(build: Callable[[], Graph]) -> None:
    assert verify(build()) == ()
    assert verify_layers(build(), 61) == ()


SABOTAGE: dict[str, tuple[str, str, Change]] = {
    "input from a later node": ("V001", "moe.router", lambda _, n: replace(n, inputs=(20,))),
    "node after itself": ("V001", "moe.router", lambda p, n: replace(n, after=(position(p, "moe.router"),))),
    "order edge from the input": ("V001", "moe.router", lambda _, n: replace(n, after=(-1,))),
    "rank in two groups": (
        "V002", "attention.all_reduce",
        lambda _, n: regrouped(n, members=np.array([[0, 1], [1, 2], *([i, i + 1] for i in range(4, 16, 2))])),
    ),
    "rank in no group": ("V002", "moe.dispatch", lambda _, n: regrouped(n, members=np.arange(15).reshape(1, 15))),
    "rank out of the team": ("V002", "moe.dispatch", lambda _, n: regrouped(n, members=np.arange(1, 17)[None])),
    "nodes of other groups": ("V002", "moe.dispatch", lambda _, n: regrouped(n, nodes=np.array([1, 1]))),
    "more local members than members": ("V002", "moe.dispatch", lambda _, n: regrouped(n, local=np.array([17]))),
    "combine of half": ("V006", "moe.combine", lambda _, n: exchanging(n, 0.5)),
    "rows of another size": (
        "V006", "moe.combine", lambda _, n: replace(n, op=replace(message(n), row_bytes=7168.0)),
    ),
    "half of a dispatch arrives": ("V005", "moe.dispatch", lambda _, n: carrying(exchanging(n, 0.5), message(n).bytes)),
    "another hidden size": (
        "V007", "moe.norm",
        lambda _, n: replace(n, output=Tensor(Dtype.BF16, (Dim("t", n.output.dims[0].size), Dim("m", 4096)))),
    ),
    "another number of tokens": (
        "V007", "attention.all_reduce",
        lambda _, n: replace(n, output=Tensor(Dtype.BF16, (Dim("t", 3), Dim("m", 7168)))),
    ),
    "fused node with work": ("V008", "attention.kv_read", lambda _, n: replace(n, op=Work([0.0], [1.0]))),
    "fused into an earlier node": ("V008", "attention.kv_read", lambda _, n: replace(n, fused_into=0)),
    "fused into communication": (
        "V008", "attention.kv_read", lambda p, n: replace(n, fused_into=position(p, "moe.dispatch")),
    ),
    "load of another width": ("V009", "moe.norm", lambda _, n: replace(n, op=Work([1.0] * 7, [0.0]))),
    "negative load": ("V009", "moe.norm", lambda _, n: replace(n, op=Work([0.0], [-1.0]))),
    "endless load": ("V009", "moe.norm", lambda _, n: replace(n, op=Work([np.nan], [0.0]))),
    "team that is not there": ("V010", "moe.norm", lambda _, n: replace(n, team=1)),
    "second stream of one": ("V010", "attention.norm", lambda _, n: replace(n, inputs=(-2,))),
}  # fmt: skip


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_broken_node_is_named(name: str) -> None:
    code, key, change = SABOTAGE[name]
    graph = broken(lower(folded()), key, change)
    assert codes(graph) == {code}


@pytest.mark.parametrize(
    ("code", "key", "change"),
    [
        ("V005", "moe.dispatch.receive", lambda _, n: carrying(n, message(n).bytes * 2)),
        ("V004", "moe.dispatch.receive", lambda _, n: replace(n, op=replace(message(n), partner=0))),
        ("V004", "moe.dispatch.receive", lambda _, n: replace(n, op=replace(message(n), matching=None))),
        ("V003", "moe.experts.up", lambda p, n: replace(n, inputs=(position(p, "moe.dispatch"),))),
        ("V003", "moe.aggregate", lambda p, n: replace(n, after=(position(p, "moe.experts.down"),))),
    ],
)
def test_messages_between_teams(code: str, key: str, change: Change) -> None:
    assert code in codes(broken(pools(), key, change))


@pytest.mark.parametrize(
    ("code", "key"), [("V005", "pipeline.receive"), ("V005", "token.receive"), ("V005", "pipeline.send")]
)
def test_messages_between_stages_have_equal_bytes(code: str, key: str) -> None:
    graph = broken(lower(folded()), key, lambda _, n: carrying(n, message(n).bytes + 1), of=key)
    assert codes(graph) == {code}


def without(graph: Graph, stage: int, index: int) -> Graph:
    """The graph with one segment of decode taken out of a stage's program."""
    decode = graph.decode
    program = decode.programs[0][stage]
    kept = tuple(s for i, s in enumerate(program.segments) if i != index)
    programs = tuple(replace(program, segments=kept) if p is program else p for p in decode.programs[0])
    return replace(graph, decode=replace(decode, programs=(programs,)))


def test_a_send_or_receive_that_is_missing() -> None:
    graph = lower(folded())
    assert codes(without(graph, 1, 0)) == {"V004"}
    assert codes(without(graph, 1, 2)) == {"V004"}
    assert codes(without(graph, 0, 0)) == {"V004"}


def gathering() -> Graph:
    options = Options(exchange=ExpertExchange.GATHER)
    return lower(plan(service(layout(dp=4, tp=2), layout(ep=4, tp=2), options=options)))


def test_gathered_tokens_have_their_sums_scattered() -> None:
    """As many rows over all ranks, over the same ranks; and a scatter without a gather."""
    graph = gathering()
    assert codes(graph) == set()
    assert codes(broken(graph, "moe.combine", lambda _, n: exchanging(n, 0.5))) == {"V006"}
    assert codes(broken(graph, "moe.dispatch", lambda _, n: exchanging(n, 2.0))) == {"V006"}
    halves = np.arange(8).reshape(2, 4)
    split = {"members": halves, "nodes": np.ones(2, dtype=np.int64), "local": np.full(2, 4)}
    assert codes(broken(graph, "moe.combine", lambda _, n: regrouped(n, **split))) == {"V006"}


def test_layers_that_are_missing_or_too_many() -> None:
    graph = lower(folded())
    assert codes(without(graph, 1, 1)) == {"V012"}
    assert [problem.code.code for problem in verify_layers(graph, 60)] == ["V012", "V012"]


def test_programs_that_lead_nowhere() -> None:
    decode = lower(folded()).decode
    graph = lower(folded())
    segment = replace(decode.programs[0][1].segments[0], template=99)
    program = replace(decode.programs[0][1], segments=(segment,))
    programs = (decode.programs[0][0], program, *decode.programs[0][2:])
    assert "V010" in codes(replace(graph, decode=replace(decode, programs=(programs,))))
    assert "V010" in codes(replace(graph, decode=replace(decode, micro_batches=(0, 3))))


def test_a_rank_in_two_teams() -> None:
    graph = lower(folded())
    teams = (replace(graph.decode.teams[0], ranks=np.arange(1, 17)), *graph.decode.teams[1:])
    assert codes(replace(graph, decode=replace(graph.decode, teams=teams))) == {"V011"}


def test_a_handover_is_verified_too() -> None:
    prefill = service(layout(dp=4), layout(ep=4), 2, phase=Phase.PREFILL)
    decode = service(layout(dp=8), layout(ep=8), phase=Phase.DECODE, first_rank=8)
    graph = lower(plan(prefill, decode))
    assert verify(graph) == ()
    assert graph.handover is not None
    old = graph.handover.templates[0]
    halved = replace(old, nodes=(old.nodes[0], carrying(old.nodes[1], message(old.nodes[1]).bytes / 2)))
    handover = replace(graph.handover, templates=(halved, *graph.handover.templates[1:]))
    assert codes(replace(graph, handover=handover)) == {"V005"}
