"""Where engines exchange no tokens, and what two micro-batches that hide each other's exchanges leave in turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.dtype import Dtype
from dagc.engines.registry import get_engine
from dagc.engines.runtime import ExpertExchange
from dagc.graph.graph import PhaseGraph
from dagc.graph.verify import verify
from dagc.lower.batch import StepLoad
from dagc.lower.lower import lower, lower_step
from dagc.lower.templates import LoweringCache
from dagc.ops.communication import Pattern
from dagc.ops.grouped_gemm import GroupedGemm, RowLayout
from dagc.ops.op import Lane
from dagc.ops.token_exchange import Dispatch, ExchangeKernel
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Plan
from tests.unit.lowering_plans import DEEPSEEK_V3, layout, message, node, plan, service, template

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
    """A rank holds an eighth of the experts: 512 x 8 / 8 pairs of token and expert, sent or not.

    With vLLM an eighth of the shared expert is in the product, as much work as 512 / 8 pairs.
    """
    for engine, pairs in (("vllm", 512 + 64), (None, 512)):
        up = node(lowered(copies(), engine), "moe.experts.up")
        assert float(np.max(up.flops)) == pytest.approx(2 * pairs * 2 * 2048 * HIDDEN)


@pytest.mark.parametrize("engine", ["megatron", None])
def test_without_such_an_engine_tokens_are_sent(engine: str | None) -> None:
    keys = [one.key for one in template(lowered(copies(), engine), "moe").nodes]
    assert {"moe.dispatch", "moe.combine"} <= set(keys)


def test_ranks_with_tokens_of_their_own_send_them() -> None:
    subject = plan(service(layout(dp=8), layout(ep=8)))
    assert message(node(lowered(subject, "vllm"), "moe.dispatch")).groups.size == 8


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_engines_gather_the_tokens_of_attention_dp(engine: str) -> None:
    """8 ranks of 64 sequences: 512 tokens x 7,168 elements of two bytes are gathered, and as many sums scattered."""
    phase = lowered(plan(service(layout(dp=8), layout(ep=8))), engine)
    gather, scatter = (message(node(phase, key)) for key in ("moe.dispatch", "moe.combine"))
    assert (gather.pattern, scatter.pattern) == (Pattern.ALL_GATHER, Pattern.REDUCE_SCATTER)
    assert gather.bytes.max() == scatter.bytes.max() == 512 * HIDDEN * 2
    assert node(phase, "moe.aggregate").output.dims[0].size == 512
    # 512 pairs of routed experts, and the shared one of the rank's 64 tokens.
    assert float(np.max(node(phase, "moe.experts.up").flops)) == pytest.approx(2 * (512 + 64) * 2 * 2048 * HIDDEN)


def test_ranks_that_hold_the_same_tokens_gather_a_part_each() -> None:
    """Attention tp 2: 4 copies of dp with 128 sequences each; over 8 ranks 512 tokens, then 128 again on both ranks."""
    phase = lowered(plan(service(layout(dp=4, tp=2), layout(ep=8))), "vllm")
    assert message(node(phase, "moe.dispatch")).groups.size == 8
    assert message(node(phase, "moe.combine")).bytes.max() == 512 * HIDDEN * 2
    back = message(node(phase, "moe.return_all_gather"))
    assert (back.groups.size, back.bytes.max()) == (2, 128 * HIDDEN * 2)


def test_wide_groups_dispatch_unless_the_plan_says_otherwise() -> None:
    """More ranks than SGLang's guide gathers over (8). vLLM's kernels are those of an instance, so that one for both
    phases has its default; TensorRT-LLM gathers where NVLink connects one machine.
    """
    wide = plan(service(layout(dp=16), layout(ep=16)))
    patterns = {"vllm": Pattern.ALL_GATHER, "sglang": Pattern.ALL_TO_ALL, "trtllm": Pattern.ALL_GATHER}
    for engine, pattern in patterns.items():
        assert message(node(lowered(wide, engine), "moe.dispatch")).pattern is pattern
    for written, pattern in ((ExpertExchange.GATHER, Pattern.ALL_GATHER), (ExpertExchange.DEEPEP, Pattern.ALL_TO_ALL)):
        for ranks in (8, 16):
            subject = plan(service(layout(dp=ranks), layout(ep=ranks), options=Options(exchange=written)))
            for engine in ("vllm", None):
                assert message(node(lowered(subject, engine), "moe.dispatch")).pattern is pattern


def test_steps_with_prompts_dispatch_by_kernels_of_high_throughput() -> None:
    """Where kernels are those of an instance, so do steps without prompts; one that decodes only has the others."""
    subject = plan(service(layout(dp=16), layout(ep=16), options=Options(exchange=ExpertExchange.DEEPEP)))
    decode = replace(subject.deployment, services=(replace(subject.deployment.services[0], phase=Phase.DECODE),))
    for engine, deployment, alone in (
        ("sglang", subject.deployment, ExchangeKernel.LOW_LATENCY),
        ("vllm", subject.deployment, ExchangeKernel.NORMAL),
        ("vllm", decode, ExchangeKernel.LOW_LATENCY),
    ):
        of = replace(subject, deployment=deployment, facts=replace(subject.facts, engine=get_engine(engine)))
        for tokens, kernel in ((0, alone), (100, ExchangeKernel.NORMAL)):
            phase = lower_step(of, deployment.services[0], 8, StepLoad(500.0, tokens, 100), LoweringCache())
            dispatch, up = (node(phase, key).op for key in ("moe.dispatch", "moe.experts.up"))
            assert isinstance(dispatch, Dispatch)
            assert isinstance(up, GroupedGemm)
            layout_of = RowLayout.MASKED if kernel is ExchangeKernel.LOW_LATENCY else RowLayout.CONTIGUOUS
            assert (dispatch.kernel, up.layout) == (kernel, layout_of)


def test_tensorrt_llm_dispatches_over_an_nvlink_domain_of_several_machines() -> None:
    subject = plan(service(layout(dp=8), layout(ep=8)), node=72)
    assert message(node(lowered(subject, "trtllm"), "moe.dispatch")).pattern is Pattern.ALL_TO_ALL
    assert message(node(lowered(subject, "sglang"), "moe.dispatch")).pattern is Pattern.ALL_GATHER


def test_kernels_without_an_exchange_carry_the_pairs_of_all_ranks() -> None:
    """Activation reads two and writes one of 2,048 elements: vLLM for 512 x 8 pairs, TensorRT-LLM for an eighth."""
    subject = plan(service(layout(dp=8), layout(ep=8)))
    vllm, trtllm = (node(lowered(subject, one), "moe.experts.activation") for one in ("vllm", "trtllm"))
    assert vllm.memory_bytes.max() == pytest.approx(512 * 8 * 2048 * 3 * 2)
    assert trtllm.memory_bytes.max() == pytest.approx(512 * 2048 * 3 * 2)


def test_products_in_fp8_cast_tokens_and_what_is_between() -> None:
    """Elements of 512 gathered tokens before the first product, and of 512 x 8 inner rows before the second."""
    fp8 = replace(DEEPSEEK_V3, weight_dtype=Dtype.FP8)
    subject = plan(service(layout(dp=8), layout(ep=8)), model=fp8)

    def casts(graph: PhaseGraph) -> list[float]:
        ops = [node(graph, f"moe.experts.{name}").op for name in ("up", "down")]
        return [op.cast.max() for op in ops if isinstance(op, GroupedGemm)]

    assert casts(lowered(subject, "vllm")) == [512 * HIDDEN, 512 * 8 * 2048]
    assert casts(lowered(subject)) == [0, 512 * 2048]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_shared_experts_are_a_part_of_the_products_in_decode(engine: str) -> None:
    """512 tokens choose 8 of 256, and all have the shared one: 9 x 512 rows over eight ranks.

    With ep 8 a rank has whole experts, and an eighth of the shared one: 512 / 8 rows of a whole one.
    """
    for experts in (layout(tp=8), layout(ep=8)):
        subject = plan(service(layout(tp=8), experts))
        inside, apart = lowered(subject, engine), lowered(subject, "megatron")
        keys = [one.key for one in template(inside, "moe").nodes]
        assert not [key for key in keys if key.startswith("moe.shared")]
        flops = [
            sum(float(one.flops.max()) for one in template(graph, "moe").nodes if one.key.endswith((".up", ".down")))
            for graph in (inside, apart)
        ]
        assert flops[0] == pytest.approx(flops[1]) == pytest.approx(9 * 512 / 8 * 2 * 3 * 2048 * HIDDEN)
    prefill = lower(replace(subject, facts=replace(subject.facts, engine=get_engine(engine)))).prefill
    assert "moe.shared.up" in [one.key for one in template(prefill, "moe").nodes]


def test_shared_experts_of_attention_dp_are_added_to_what_comes_back() -> None:
    phase = lowered(plan(service(layout(dp=8), layout(ep=8))), "sglang")
    keys = [one.key for one in template(phase, "moe").nodes]
    assert [key for key in keys if key.startswith("moe.shared")] == ["moe.shared.add"]
    cut = lowered(plan(service(layout(dp=4, tp=2), layout(ep=8))), "sglang")
    assert "moe.shared.all_reduce" in [one.key for one in template(cut, "moe").nodes]


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
