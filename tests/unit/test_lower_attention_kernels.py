"""Kernels inside attention beside products, cache and core: norms, rotary embedding, gates, and those of an indexer."""

from __future__ import annotations

import numpy as np
import pytest

from dagc.catalog.model import ModelSpec
from dagc.catalog.presets import load_model
from dagc.graph.graph import Node, PhaseGraph
from dagc.graph.verify import verify
from dagc.lower.lower import lower
from dagc.ops.op import Op
from dagc.plan.workload import Workload
from tests.unit.lowering_plans import layout, message, plan, service

SEQUENCES, TP = 16, 4


def decode(name: str, tp: int = TP) -> PhaseGraph:
    model = load_model(name)
    assert isinstance(model, ModelSpec)
    attention = layout(tp=tp)
    experts = None if model.is_dense else layout(tp=tp)
    graph = lower(plan(service(attention, experts), model=model, workload=Workload(SEQUENCES, 1024, 128)))
    assert not verify(graph)
    return graph.decode


def nodes(phase: PhaseGraph, *keys: str) -> list[Node]:
    """The nodes of these keys in the first template that has all of them."""
    for one in phase.templates:
        found = {node.key: node for node in one.nodes}
        if found.keys() >= set(keys):
            return [found[key] for key in keys]
    raise AssertionError(keys)


def moved(op: Op) -> float:
    return float(np.max(op.memory_bytes))


def test_queries_and_keys_are_normed_and_turned_between_projection_and_cache() -> None:
    """Qwen3-32B at tp 4: 16 heads and 2 key-value heads of 128, read and written in two bytes."""
    phase = decode("qwen3-32b")
    norm, rotary, write = nodes(phase, "attention.qk_norm", "attention.rotary", "attention.kv_write")
    assert moved(norm.op) == moved(rotary.op) == SEQUENCES * (16 + 2) * 128 * 2 * 2
    layer = next(one.nodes for one in phase.templates if rotary in one.nodes)
    assert [layer[index].key for index in rotary.inputs] == ["attention.qk_norm"]
    assert [layer[index].key for index in write.inputs] == ["attention.rotary"]


def test_a_norm_over_all_heads_adds_two_sums_a_token_over_the_ranks() -> None:
    """MiniMax-M2.5: the squares of queries and of keys, four bytes each; none to add on one rank."""
    (sums,) = nodes(decode("minimax-m2.5"), "attention.qk_norm_all_reduce")
    assert message(sums).groups.size == TP
    assert float(np.max(message(sums).bytes)) == SEQUENCES * 2 * 4
    with pytest.raises(AssertionError):
        nodes(decode("minimax-m2.5", 1), "attention.qk_norm_all_reduce")


def test_without_norms_there_is_none() -> None:
    with pytest.raises(AssertionError):
        nodes(decode("llama-3.1-8b"), "attention.qk_norm")


def test_latents_are_normed_before_queries_are_made_of_them() -> None:
    """DeepSeek-V3: 1,536 elements of queries, read and written in two bytes."""
    norm, up = nodes(decode("deepseek-v3"), "attention.latent_norm", "attention.q_up")
    assert moved(norm.op) == SEQUENCES * 1536 * 2 * 2
    assert norm.output.dims == nodes(decode("deepseek-v3"), "attention.q_down")[0].output.dims
    assert up.op.flops.max() == 2 * SEQUENCES * 1536 * (128 // TP) * 192


def test_a_gate_multiplies_the_result_and_the_step_of_a_delta_net_has_a_product() -> None:
    """Qwen3.5 at tp 4: 8 heads of 256; 2 x 64 / 4 columns of 4,096 inputs for step and decay."""
    phase = decode("qwen3.5-397b-a17b")
    (gating,), (gates, whole) = nodes(phase, "attention.gating"), nodes(phase, "mixer.gates", "mixer.in")
    assert moved(gating.op) == SEQUENCES * 8 * 256 * 3 * 2
    assert float(np.max(gates.op.flops)) == 2 * SEQUENCES * 32 * 4096
    columns = (2 * 16 * 128 + 2 * 64 * 128) / TP
    assert float(np.max(whole.op.flops)) == 2 * SEQUENCES * columns * 4096


def test_the_indexer_makes_its_queries_and_key_before_it_scores() -> None:
    """DeepSeek-V3.2: 64 heads and a key of 128, on every rank whole."""
    inputs, scores = nodes(decode("deepseek-v3.2"), "attention.index_inputs", "attention.index")
    assert moved(inputs.op) == SEQUENCES * (64 + 1) * 128 * 2 * 2
    assert float(np.max(scores.op.flops)) == pytest.approx(2 * 64 * 128 * SEQUENCES * (1024 + 128 / 2), rel=1e-3)
