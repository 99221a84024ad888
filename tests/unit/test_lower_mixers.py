"""Layers that differ: FLOPs of matrix products, of attention's core and of states, against counts by another route.

The matrices are those of `test_catalog_tensors`, written out by name and shape; the rest is arithmetic by hand.
"""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from dagc.catalog.attention import Reach
from dagc.catalog.model import ModelSpec
from dagc.catalog.parameters import count
from dagc.cost.memory import MemoryPart, rank_memory
from dagc.graph.graph import Node, PhaseGraph
from dagc.graph.verify import verify, verify_layers
from dagc.lower.lower import lower
from dagc.ops.attention_core import AttentionCore
from dagc.ops.gemm import Gemm, Router
from dagc.ops.grouped_gemm import GroupedGemm
from dagc.ops.indexer import IndexerScores
from dagc.ops.op import Op
from dagc.ops.recurrence import Recurrence
from dagc.plan.workload import Workload
from tests.unit.config_files import fields_of, read
from tests.unit.lowering_plans import layout, plan, service
from tests.unit.test_catalog_tensors import (
    DEEPSEEK4,
    GEMMA4,
    GLM5,
    MIMO,
    MINIMAX_M3,
    NEMOTRON,
    NEMOTRON_NAS,
    QWEN35,
    Tensors,
)

QWEN, NANO, V4 = (
    "Qwen--Qwen3.5-397B-A17B",
    "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "deepseek-ai--DeepSeek-V4-Flash",
)
M3, NAS = "MiniMaxAI--MiniMax-M3", "nvidia--Llama-3_3-Nemotron-Super-49B-v1"

MODELS: dict[str, tuple[Tensors, int, int]] = {
    QWEN: (QWEN35, 512, 10),
    NANO: (NEMOTRON, 128, 6),
    "google--gemma-4-26B-A4B": (GEMMA4, 128, 8),
    "zai-org--GLM-5": (GLM5, 256, 8),
    "XiaomiMiMo--MiMo-V2-Flash": (MIMO, 256, 8),
    V4: (DEEPSEEK4, 256, 6),
    M3: (MINIMAX_M3, 128, 4),
}
"""Tensors, experts of a layer, and those that a token visits."""

NO_PRODUCT = ("hyper-connection", "ape", "conv1d")


def model(name: str) -> ModelSpec:
    return read(fields_of(name))[0]


def flops(phase: PhaseGraph, *ops: type[Op]) -> float:
    """Of some operators, over ranks, layers, stages and micro-batches of one size."""
    return sum(
        segment.count * over_ranks(phase, node)
        for _, _, _, segment in phase.segments()
        for node in phase.templates[segment.template].nodes
        if type(node.op) in ops
    )


def over_ranks(phase: PhaseGraph, node: Node) -> float:
    return float(np.broadcast_to(node.flops, (phase.teams[0].width,)).sum())


def multiplied(tensors: Tensors, experts: int, top: int) -> float:
    """Weights that a token is multiplied with; of embedding and head the head."""
    total = 0.0
    for name, (times, shape) in tensors.items():
        if len(shape) != 2 or any(word in name for word in NO_PRODUCT):
            continue
        share = top / experts if ".experts." in f".{name}" else 1 / times if name.startswith("embed") else 1
        total += times * share * prod(shape)
    return total


@pytest.mark.parametrize("name", MODELS)
def test_a_token_meets_every_active_matrix_once(name: str) -> None:
    graph = lower(plan(service(layout(dp=8), layout(ep=8), 2), model=model(name)))
    spec = model(name)
    assert spec.layers is not None
    assert [*verify(graph), *verify_layers(graph, spec.layers)] == []
    of_a_step = flops(graph.decode, Gemm, GroupedGemm, Router)
    assert of_a_step == pytest.approx(2 * multiplied(*MODELS[name]) * 512 / len(graph.decode.micro_batches))


def test_the_core_of_a_hybrid_is_that_of_its_attention_layers() -> None:
    """Qwen3.5: 15 layers, 32 heads, keys and values of 256, a context of 1024 + 64."""
    graph = lower(plan(service(layout(dp=8), layout(ep=8)), model=model(QWEN)))
    assert flops(graph.decode, AttentionCore) == pytest.approx(512 * 15 * 32 * 2 * (256 + 256) * 1088)


def test_states_are_read_and_written_once_a_sequence() -> None:
    """Qwen3.5: 45 layers of 64 heads of 128 x 128, 3 passes, and 12,288 channels over 4 tokens, for each token.

    A decode step moves each state twice, whatever the context, and a token's 20,608 columns and 8,192 results.
    """
    graph = lower(plan(service(layout(dp=8), layout(ep=8)), model=model(QWEN)))
    of_a_token = 2 * 45 * (3 * 64 * 128 * 128 + 12_288 * 4)
    assert flops(graph.decode, Recurrence) == pytest.approx(512 * of_a_token)
    assert flops(graph.prefill, Recurrence) == pytest.approx(512 * 1024 * of_a_token)
    (node,) = {
        id(n): n for t in graph.decode.templates for n in t.nodes if isinstance(n.op, Recurrence)
    }.values()  # fmt: skip
    state = 64 * 128 * 128 * 4 + 12_288 * 3 * 2
    assert node.memory_bytes[0] == pytest.approx(64 * (2 * state + (20_608 + 8192) * 2))


def test_an_indexer_scores_everything_and_the_core_takes_the_best() -> None:
    """GLM-5: 32 heads of 128 score a context of 1088; that is below 2,048, so the core attends to all of it.

    With 8,192 more it attends to 2,048, in the latent space: 64 heads, 576 wide keys and 512 wide values.
    """
    spec, layers = model("zai-org--GLM-5"), 78
    short = lower(plan(service(layout(dp=8), layout(ep=8)), model=spec))
    assert flops(short.decode, IndexerScores) == pytest.approx(512 * layers * 2 * 32 * 128 * 1088)
    assert flops(short.decode, AttentionCore) == pytest.approx(512 * layers * 2 * 64 * (576 + 512) * 1088)
    work = Workload(512, 1024 + 8192, 128)
    long = lower(plan(service(layout(dp=8), layout(ep=8)), model=spec, workload=work))
    assert flops(long.decode, IndexerScores) == pytest.approx(512 * layers * 2 * 32 * 128 * (1088 + 8192))
    assert flops(long.decode, AttentionCore) == pytest.approx(512 * layers * 2 * 64 * (576 + 512) * 2048)


def test_heads_that_choose_for_themselves_are_cut_with_the_kv_heads() -> None:
    """MiniMax-M3: 57 layers score 9,280 positions with 4 heads of 128, a head for each of 4 ranks; 64 heads attend to
    2,048 there, and to all in 3 layers.
    """
    work = Workload(512, 1024 + 8192, 128)
    for tp in (1, 4):
        graph = lower(plan(service(layout(dp=8, tp=tp), layout(ep=8 * tp)), model=model(M3), workload=work))
        assert [*verify(graph), *verify_layers(graph, 60)] == []
        assert flops(graph.decode, IndexerScores) == pytest.approx(512 * 57 * 2 * 4 * 128 * 9280)
        positions = 57 * 2048 + 3 * 9280
        assert flops(graph.decode, AttentionCore) == pytest.approx(512 * 64 * 2 * 2 * 128 * positions)


def test_layers_of_their_own_widths_are_multiplied_as_they_are() -> None:
    """Llama-Nemotron: every tensor once a token, 49 of 80 layers with attention; two stages hold what is theirs."""
    graph = lower(plan(service(layout(dp=8), layout(dp=8), 2), model=model(NAS)))
    assert [*verify(graph), *verify_layers(graph, 80)] == []
    of_a_step = flops(graph.decode, Gemm)
    assert of_a_step == pytest.approx(2 * multiplied(NEMOTRON_NAS, 1, 1) * 512 / len(graph.decode.micro_batches))


def test_shared_attention_reaches_its_window_and_entries() -> None:
    """DeepSeek-V4: all 43 layers reach 128 positions; 21 a quarter of 1088 more, 20 a 128th; 64 heads of 512 twice."""
    graph = lower(plan(service(layout(dp=8), layout(ep=8)), model=model(V4)))
    positions = 43 * 128 + 21 * 1088 / 4 + 20 * 1088 / 128
    assert flops(graph.decode, AttentionCore) == pytest.approx(512 * 64 * 2 * (512 + 512) * positions)


@pytest.mark.parametrize(
    ("reach", "attended", "kept", "pairs"),
    [
        (Reach(), 100, 100, 5000),
        (Reach(window=10), 10, 10, 10 * 100 - 50),
        (Reach(top=20), 20, 100, 20 * 100 - 200),
        (Reach(window=10, ratio=4), 10 + 25, 35, 950 + 5000 / 4),
        (Reach(window=10, ratio=4, top=5), 10 + 5, 35, 950 + (20 * 100 - 200) / 4),
    ],
)
def test_reach_of_a_hundred_positions(reach: Reach, attended: float, kept: float, pairs: float) -> None:
    assert (reach.attended(100), reach.kept(100), reach.pairs(100)) == (attended, kept, pairs)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stages", [1, 2, 5])
def test_what_is_not_replicated_sums_to_the_model(name: str, stages: int) -> None:
    """Stages alone hold every weight once, a tied embedding twice where first and last stage differ."""
    spec, shapes = read(fields_of(name))
    subject = plan(service(layout(dp=1), layout(ep=1), stages), model=spec)
    held = sum(pool.parts[MemoryPart.WEIGHTS].sum() for pool in rank_memory(subject))
    again = shapes.vocab * shapes.hidden * 2 if shapes.tied and stages > 1 else 0
    assert held == pytest.approx(count(shapes).weight_bytes + again, rel=1e-9)


def test_a_rank_of_tensor_parallel_holds_its_heads() -> None:
    """Qwen3.5 over tp 4, one mixer: 8,192 + 8,192 + 4,096 + 128 columns and 8,192 rows a quarter each; state too."""
    spec, _ = read(fields_of(QWEN))
    whole, quarter = (
        rank_memory(plan(service(layout(tp=tp), layout(ep=tp)), model=spec))[0] for tp in (1, 4)
    )  # fmt: skip
    state = 45 * (64 * 128 * 128 * 4 + 12_288 * 3 * 2)
    cache = 15 * 2 * 512 * 2 * (1024 + 128)
    assert whole.max_parts[MemoryPart.KV_CACHE] == pytest.approx(512 * (state + cache))
    # Two KV heads over four ranks: one each, held by two.
    assert quarter.max_parts[MemoryPart.KV_CACHE] == pytest.approx(512 * (state / 4 + cache / 2))
