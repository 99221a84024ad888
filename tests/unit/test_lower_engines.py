"""Where engines exchange no tokens, and what two micro-batches that hide each other's exchanges leave in turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.engines.registry import get_engine
from dagc.graph.graph import PhaseGraph
from dagc.graph.verify import verify
from dagc.lower.lower import lower
from dagc.ops.op import Lane
from dagc.plan.deployment import Options
from dagc.plan.plan import Plan
from tests.unit.lowering_plans import layout, message, node, plan, service, template

HIDDEN = 7168


def lowered(subject: Plan, engine: str | None = None) -> PhaseGraph:
    facts = replace(subject.facts, engine=get_engine(engine) if engine else None)
    graph = lower(replace(subject, facts=facts))
    assert not verify(graph)
    return graph.decode


def copies() -> Plan:
    """`ep 8 ; tp 8`: all eight ranks hold every token."""
    return plan(service(layout(tp=8), layout(ep=8)))


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_tokens_that_all_ranks_hold_are_not_sent(engine: str) -> None:
    """512 sequences, a token each: one all-reduce of 512 x 7,168 elements of two bytes, shared experts in it."""
    phase = lowered(copies(), engine)
    keys = [one.key for one in template(phase, "moe").nodes]
    assert not {"moe.dispatch", "moe.combine", "moe.return_all_gather", "moe.shared.all_reduce"} & set(keys)
    reduced = message(node(phase, "moe.all_reduce"))
    assert reduced.groups.size == 8
    assert reduced.bytes.max() == 512 * HIDDEN * 2


def test_experts_have_the_same_work_either_way() -> None:
    """A rank holds an eighth of the experts: 512 x 8 / 8 pairs of token and expert, sent or not."""
    for engine in ("vllm", None):
        up = node(lowered(copies(), engine), "moe.experts.up")
        assert float(np.max(up.flops)) == pytest.approx(2 * 512 * 2 * 2048 * HIDDEN)


@pytest.mark.parametrize("engine", ["megatron", None])
def test_without_such_an_engine_tokens_are_sent(engine: str | None) -> None:
    keys = [one.key for one in template(lowered(copies(), engine), "moe").nodes]
    assert {"moe.dispatch", "moe.combine"} <= set(keys)


def test_ranks_with_tokens_of_their_own_send_them() -> None:
    subject = plan(service(layout(dp=8), layout(ep=8)))
    assert message(node(lowered(subject, "vllm"), "moe.dispatch")).groups.size == 8


def test_an_overlap_asks_for_exchanges() -> None:
    subject = plan(service(layout(tp=8), layout(ep=8), options=Options(overlap=2)))
    keys = [one.key for one in template(lowered(subject, "vllm"), "moe").nodes]
    assert "a.moe.dispatch" in keys


def test_a_combine_of_low_latency_sums_on_its_own_lane() -> None:
    """So that the first half's next layer does not wait, in the order of computation, for the second half's combine."""
    subject = plan(service(layout(dp=16), layout(ep=16), options=Options(overlap=2)))
    graph = lower(subject)
    assert node(graph.decode, "b.moe.aggregate").op.lane is Lane.COMMUNICATION
    assert node(graph.prefill, "b.moe.aggregate").op.lane is Lane.COMPUTE
    plain = lower(plan(service(layout(dp=16), layout(ep=16))))
    assert node(plain.decode, "moe.aggregate").op.lane is Lane.COMPUTE
