"""Strategies from their text to a verified graph: teams, groups and places come from what was written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dagc.graph.verify import verify, verify_layers
from dagc.lower.lower import lower
from dagc.plan.plan import Plan
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from dagc.source import Source
from dagc.syntax.parser import parse
from tests.unit.lowering_plans import DEEPSEEK_V3, folded, message, node


def written(text: str) -> Plan:
    """A bare strategy with DeepSeek-V3 on nodes of 8."""
    file = parse(Source("plan", text)).file
    assert file is not None
    deployment, problems = resolve(annotate(file.strategies[0]))
    assert deployment is not None, problems
    return Plan(deployment, folded().facts)


STRATEGIES = {
    "pp 4 < ep 16 ; tp 2 >": 64,
    "ep 16 < tp 4 >": 64,
    "ep 6 ; tp 4": 12,
    "tp 8": 8,
    "cp 2 < tp 4 >": 8,
    "attn < dp 8 >": 8,
    "pp 2 [layers 31 30, micro 8] < ep 8 [overlap 2, redundant 8] ; tp 2 [sp] >": 16,
    "ep 8 [shared replicated] ; tp 8 [dcp 4]": 8,
    "pp 2 < tp 2 > | ep 4": 8,
    "pp 2 < tp 2 | ep 4 >": 12,
    "prefill < dp 3 < ep 8 > > | decode < dp 2 < pp 2 < ep 8 ; tp 2 > > >": 56,
    "dp 2 < pp 4 [micro 8] < ep 16 ; tp 2 > >": 128,
}


@pytest.mark.parametrize("text", STRATEGIES)
def test_a_strategy_lowers_to_a_verified_graph(text: str) -> None:
    plan = written(text)
    assert plan.deployment.gpus == STRATEGIES[text]
    graph = lower(plan)
    assert verify(graph) == ()
    assert verify_layers(graph, DEEPSEEK_V3.layers or 0) == ()


def test_nodes_come_from_where_they_are_written() -> None:
    decode = lower(written("pp 4 < ep 16 ; tp 2 >")).decode
    texts = {key: node(decode, key).span for key in ("moe.dispatch", "moe.combine", "attention.all_reduce")}
    assert {key: span.text for key, span in texts.items() if span} == {
        "moe.dispatch": "ep 16",
        "moe.combine": "ep 16",
        "attention.all_reduce": "tp 2",
    }
    for key in ("pipeline.send", "token.receive"):
        span = node(decode, key, key).span
        assert span is not None and span.text == "pp 4"


def test_groups_come_from_the_layouts() -> None:
    """`ep 6 ; tp 4`: two expert groups of 6, three attention groups of 4; on nodes of 8 the second 6 straddle."""
    decode = lower(written("ep 6 ; tp 4")).decode
    dispatch = message(node(decode, "moe.dispatch")).groups
    assert dispatch.members.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert (dispatch.nodes.tolist(), dispatch.local.tolist()) == ([1, 2], [6, 4])
    reduce = message(node(decode, "attention.all_reduce")).groups
    assert (reduce.members.shape, reduce.nodes.tolist()) == ((3, 4), [1, 1, 1])


def test_a_model_without_shapes_is_the_callers_fault() -> None:
    plan = folded()
    bare = replace(plan, facts=replace(plan.facts, model=replace(plan.facts.model, hidden=None)))
    with pytest.raises(ValueError, match="shapes"):
        lower(bare)
