"""A mixed step does the work of a decode step and of the prompts that ride along, no more and no less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.graph.graph import PhaseGraph
from dagc.graph.verify import verify, verify_layers
from dagc.lower.lower import lower, lower_prompts
from dagc.ops.attention_core import AttentionCore
from dagc.ops.gemm import Gemm, Router
from dagc.ops.grouped_gemm import GroupedGemm
from dagc.plan.plan import Plan, entering
from dagc.plan.workload import Workload
from tests.unit.lowering_plans import DEEPSEEK_V3, DEMO, layout, plan, service

SERVED = Workload(batch=8, prompt=512, output=64, concurrency=8, requests_per_second=1.0)
"""Ends come evenly, so that a step with prompts has one."""


def served(model, attention, **changes) -> Plan:
    one = plan(service(attention, attention), model=model)
    return replace(one, facts=replace(one.facts, workload=replace(SERVED, **changes)))


def flops(phase: PhaseGraph, *ops, without: str = "head.") -> float:
    width = phase.teams[0].width
    return sum(
        segment.count * float(np.broadcast_to(node.flops, (width,)).sum())
        for _, _, _, segment in phase.segments()
        for node in phase.templates[segment.template].nodes
        if type(node.op) in ops and not node.key.startswith(without)
    )


@pytest.mark.parametrize("model", [DEMO, DEEPSEEK_V3])
def test_arithmetic_is_that_of_both_phases(model) -> None:
    """One whole prompt of eight requests rides with the seven tokens of the others. The lone prefill is one prompt too.

    Left out is the head, which has no row for a prompt here.
    """
    subject = served(model, layout(tp=2))
    mixed, alone = lower_prompts(subject), lower(served(model, layout(tp=2), batch=7, concurrency=7))
    assert mixed is not None
    assert entering(subject).facts.workload.batch == 1
    for ops in ((Gemm,), (GroupedGemm, Router), (AttentionCore,)):
        both = flops(alone.prefill, *ops) + flops(alone.decode, *ops)
        assert flops(mixed, *ops) == pytest.approx(both)
    shown = replace(alone, decode=mixed, others=())
    assert not verify(shown)
    assert not verify_layers(shown, model.layers)


def test_a_chunk_is_its_share_of_a_prompt() -> None:
    whole, part = (lower_prompts(served(DEMO, layout(tp=2), chunk=chunk)) for chunk in (8192, 128 + 7))
    decode = lower(served(DEMO, layout(tp=2), batch=7, concurrency=7)).decode
    assert whole is not None and part is not None
    base = flops(decode, AttentionCore)
    assert flops(part, AttentionCore) - base == pytest.approx((flops(whole, AttentionCore) - base) / 4)


def test_a_static_batch_has_no_mixed_step() -> None:
    assert lower_prompts(served(DEMO, layout(tp=2), concurrency=None)) is None


def test_a_lone_request_meets_no_prompt() -> None:
    assert lower_prompts(served(DEMO, layout(tp=2), batch=1, concurrency=1)) is None


def test_a_cached_prefix_is_attended_to_and_not_computed() -> None:
    """Half of 512 tokens cached: 256 rows, and pairs of the whole triangle less that of the prefix: 3/4 of them."""
    whole, cached = (lower(served(DEMO, layout(tp=2), cached=share)).prefill for share in (0.0, 0.5))
    assert flops(cached, Gemm) == pytest.approx(flops(whole, Gemm) / 2)
    assert flops(cached, AttentionCore) == pytest.approx(flops(whole, AttentionCore) * 3 / 4)


def test_drafted_tokens_are_computed_beside_each() -> None:
    alone, drafted = (lower(served(DEMO, layout(tp=2), drafted=count)).decode for count in (0, 3))
    assert flops(drafted, Gemm, without="-") == pytest.approx(4 * flops(alone, Gemm, without="-"))
