"""FLOPs of linear layers, summed over ranks, against a count made from the model's published shapes alone.

DeepSeek-V3, weights of one layer in multiplications a token:
MLA = 7168·1536 (q down) + 1536·128·192 (q up) + 7168·576 (kv down) + 512·128·256 (kv up) + 128·128·7168 (out)
    = 11,010,048 + 37,748,736 + 4,128,768 + 16,777,216 + 117,440,512 = 187,105,280;
router 7168·256 = 1,835,008; 8 of the experts 8·3·7168·2048 = 352,321,536; shared 44,040,192;
dense FFN 3·7168·18432 = 396,361,728; head 7168·129280 = 926,679,040.
61 MLA + 58 MoE + 3 dense + head = 36.6 G; with the embedding 37.6 G, published as 37 B activated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.attention import Gate, Indexer
from dagc.catalog.model import FfnKind, LayerKind
from dagc.graph.graph import PhaseGraph
from dagc.graph.verify import verify_layers
from dagc.lower.lower import lower
from dagc.ops.gemm import Gemm
from dagc.ops.grouped_gemm import GroupedGemm
from dagc.ops.indexer import IndexerScores
from dagc.plan.deployment import Options
from dagc.plan.workload import Workload
from tests.unit.lowering_plans import DEEPSEEK_V3, DEMO, layout, plan, service
from tests.unit.lowering_plans import MLA as LATENT

MLA = 187_105_280
ROUTED = 352_321_536
LAYERS = 61 * MLA + 58 * (1_835_008 + ROUTED + 44_040_192) + 3 * 396_361_728
HEAD = 926_679_040


def linear_flops(phase: PhaseGraph) -> float:
    """FLOPs of all matrix products of a phase, over ranks, layers, stages and micro-batches."""
    by_size = [0.0] * len(phase.programs)
    for size, program, _, segment in phase.segments():
        for node in phase.templates[segment.template].nodes:
            if isinstance(node.op, (Gemm, GroupedGemm)):
                width = phase.teams[program.teams[node.team]].width
                by_size[size] += segment.count * float(np.broadcast_to(node.flops, (width,)).sum())
    return sum(by_size[size] for size in phase.micro_batches)


def test_active_parameters_are_as_published() -> None:
    assert pytest.approx(37.6, abs=0.05) == (LAYERS + HEAD + 7168 * 129280) / 1e9


@pytest.mark.parametrize(
    "services",
    [
        service(layout(dp=16), layout(ep=16), 4),
        service(layout(dp=6), layout(ep=6), 3),  # 256 experts over 6, 512 sequences over 6: nothing divides
        service(layout(dp=8), layout(dp=2, ep=4), 1),
        service(layout(dp=8), layout(ep=4, tp=2), 2),
        service(layout(dp=8), layout(ep=8), 2, options=Options(overlap=2, micro=5)),
        service(layout(dp=8), layout(ep=8), 2, options=Options(redundant=7)),
        service(layout(dp=4), layout(ep=8), 2, pool_stages=1),
        service(layout(dp=4), layout(ep=3, tp=2), 2, pool_stages=2),
    ],
)
def test_linear_flops_are_two_a_parameter_and_token(services) -> None:
    """Without tp, every token meets every active weight once: 2 x parameters x tokens, and the head a sequence."""
    graph = lower(plan(services))
    assert verify_layers(graph, 61) == ()
    assert linear_flops(graph.prefill) == pytest.approx(2 * 512 * (1024 * LAYERS + HEAD), rel=1e-12)
    assert linear_flops(graph.decode) == pytest.approx(2 * 512 * (LAYERS + HEAD), rel=1e-12)


@pytest.mark.parametrize("degree", [2, 4])
def test_tp_repeats_only_what_it_does_not_cut(degree: int) -> None:
    """Down-projections of MLA and the router are whole on each tp rank; all else is cut."""
    graph = lower(plan(service(layout(dp=16 // degree, tp=degree), layout(ep=16), 4)))
    whole = 61 * (11_010_048 + 4_128_768) + 58 * 1_835_008
    expected = 2 * 512 * (LAYERS + HEAD + (degree - 1) * whole)
    assert linear_flops(graph.decode) == pytest.approx(expected, rel=1e-12)


def test_shared_replicated_repeats_the_shared_experts() -> None:
    one = lower(plan(service(layout(dp=4, tp=4), layout(ep=16))))
    whole = lower(plan(service(layout(dp=4, tp=4), layout(ep=16), options=Options(shared_replicated=True))))
    extra = linear_flops(whole.decode) - linear_flops(one.decode)
    assert extra == pytest.approx(2 * 512 * 58 * 3 * 44_040_192, rel=1e-12)


def test_grouped_query_attention_and_uneven_micro_batches() -> None:
    """The demo model: qkv 2048·(32+16)·64, out 2048·2048, router 2048·16, 2 experts of 3·2048·6144; 16 layers; head.

    10 sequences in 3 micro-batches are 4, 3, 3, over dp 2 each: loads differ by rank and by micro-batch.
    """
    layer = 2048 * 48 * 64 + 2048 * 2048 + 2048 * 16 + 2 * 3 * 2048 * 6144
    options = Options(micro=3)
    graph = lower(
        plan(service(layout(dp=2), layout(ep=2), 2, options=options), model=DEMO, workload=Workload(10, 50, 8))
    )
    assert graph.prefill.micro_batches == (0, 1, 1)
    assert graph.prefill.sequences == (4, 3)
    expected = 2 * 10 * (50 * 16 * layer + 2048 * 128256)
    assert linear_flops(graph.prefill) == pytest.approx(expected, rel=1e-12)


def test_tensor_parallel_mixtral_style() -> None:
    """Tp 4 for attention and experts: every matrix but the router is cut, none repeated (8 key-value heads)."""
    layer = 2048 * 48 * 64 + 2048 * 2048 + 4 * 2048 * 16 + 2 * 3 * 2048 * 6144
    graph = lower(plan(service(layout(tp=4), layout(tp=4)), model=DEMO, workload=Workload(8, 50, 8)))
    assert linear_flops(graph.decode) == pytest.approx(2 * 8 * (16 * layer + 2048 * 128256), rel=1e-12)


def test_the_gate_of_latent_attention_is_a_product_of_the_layers_input() -> None:
    """A column for each element of 128 heads of 128, from 7168 (Kimi-K3 has such a gate); tp cuts it by heads."""
    gated = replace(DEEPSEEK_V3, attention=replace(LATENT, gate=Gate.ELEMENT))
    for services in (service(layout(dp=16), layout(ep=16), 4), service(layout(dp=4, tp=4), layout(ep=16))):
        before, after = lower(plan(services)), lower(plan(services, model=gated))
        assert verify_layers(after, 61) == ()
        more = 2 * 512 * 61 * 7168 * 128 * 128
        assert linear_flops(after.decode) - linear_flops(before.decode) == pytest.approx(more, rel=1e-9)
        assert linear_flops(after.prefill) - linear_flops(before.prefill) == pytest.approx(1024 * more, rel=1e-9)


def test_a_layer_that_takes_another_ones_choice_has_no_indexer() -> None:
    """3 of 61 layers have one: queries 1536 · 64 · 128, a key of 128 and a weight for each of 64 heads from 7168."""
    own = replace(LATENT, indexer=Indexer(64, 128, 2048))
    reading = replace(own, indexer=Indexer(64, 128, 2048, reads_other=True))
    ffn = [FfnKind.DENSE] * 3 + [FfnKind.MOE] * 58
    stacks = [tuple(LayerKind(kind, own if i < 3 or all_own else reading) for i, kind in enumerate(ffn))
              for all_own in (True, False)]  # fmt: skip
    services = service(layout(dp=16), layout(ep=16), 4)
    whole, few = (lower(plan(services, model=replace(DEEPSEEK_V3, attention=own, stack=stack))) for stack in stacks)
    one = 1536 * 64 * 128 + 7168 * (128 + 64)
    assert linear_flops(whole.decode) - linear_flops(few.decode) == pytest.approx(2 * 512 * 58 * one, rel=1e-9)
    assert choices(whole.decode) - choices(few.decode) == 58 * len(whole.decode.micro_batches)


def choices(phase: PhaseGraph) -> int:
    """How many layers choose positions, over all micro-batches."""
    return sum(
        segment.count
        for size in phase.micro_batches
        for found, _, _, segment in phase.segments()
        if found == size and any(isinstance(node.op, IndexerScores) for node in phase.templates[segment.template].nodes)
    )
