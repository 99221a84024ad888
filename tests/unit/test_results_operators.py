"""The table of operators: counts, sums and rates against what the plan's shapes give by hand."""

from __future__ import annotations

import pytest

import dagc
from dagc.export.operators import Operator, operators
from dagc.graph.priced import PICOSECONDS
from dagc.schedule.timeline import Timeline

MODEL = """tiny { layers 4    hidden 1024    vocab 32000    dtype bf16
    attention { heads 8    kv_heads 8    head_dim 128 }
    experts 8 { top 2    ffn 512    gated yes } }"""


def phase_of(strategy: str, gpus: int, model: str, workload: str, more: str, phase: int = 0) -> Timeline:
    """A phase of a strategy on a cluster of H100."""
    plan = dagc.compile(strategy, model=model, cluster=f"h100-sxm x {gpus} {{ {more} }}", workload=workload)
    timelines = plan.strategies[0].checked.priced.timelines
    assert timelines is not None, str(plan)
    return timelines[phase]


def table(
    strategy: str, workload: str = "{ batch 16    prompt 128    output 8 }", more: str = ""
) -> dict[str, Operator]:
    found = operators(phase_of(strategy, 8, MODEL, workload, more))
    return {one.key: one for one in found}


def test_executions_are_layers_times_micro_batches() -> None:
    """4 layers in 2 stages, 2 micro-batches: each layer's product runs 8 times, the head's twice."""
    found = table("pp 2 [micro 2] < ep 4 >")
    assert found["attention.qkv"].executions == 8
    assert found["head.logits"].executions == 2


def test_work_of_a_product_is_two_m_n_k() -> None:
    """Query, key and value on one GPU of 8: 2 × 128 of the tokens, 3 × 1,024 columns, 1,024 deep, in 4 layers."""
    found = table("ep 8")["attention.qkv"]
    assert found.flops == pytest.approx(4 * 2 * (2 * 128) * (3 * 1024) * 1024)
    read = 2 * (256 * 1024 + 3 * 1024 * 1024 + 256 * 3 * 1024)
    assert found.bytes == pytest.approx(4 * read)
    assert found.intensity == pytest.approx(found.flops / (4 * read))
    assert found.flops_per_second == pytest.approx(found.flops / found.seconds)


def test_a_communication_has_no_intensity() -> None:
    found = table("ep 8")["moe.dispatch"]
    assert found.intensity is None
    assert (found.group, found.nodes) == (8, 1)


def test_the_longest_comes_first() -> None:
    seconds = [one.seconds for one in table("ep 8").values()]
    assert seconds == sorted(seconds, reverse=True)


def test_on_one_gpu_the_table_adds_up_to_the_phase() -> None:
    """Nothing overlaps on one lane, so the sum over operators is the makespan."""
    timeline = phase_of("tp 1", 1, MODEL, "{ batch 4    prompt 128    output 8 }", "")
    found = sum(one.seconds for one in operators(timeline))
    assert found == pytest.approx(timeline.makespan / PICOSECONDS)


def test_a_slowed_rank_is_the_slowest() -> None:
    """One rank of 8 slowed by half: what computes takes 1.5 times as long there; what it sends does not."""
    even, slowed = table("ep 8"), table("ep 8", more="slow 3 by 50 %")
    assert slowed["attention.qkv"].seconds == pytest.approx(1.5 * even["attention.qkv"].seconds)
    assert slowed["moe.dispatch"].seconds == pytest.approx(even["moe.dispatch"].seconds)
