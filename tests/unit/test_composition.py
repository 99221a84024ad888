"""What a plan asks for beside its operators, from its text to its times: overlap, chunks, caches, hosts, drafts.

Every expectation is arithmetic on figures of the same plan without what is asked for.
"""

from __future__ import annotations

from functools import cache

import pytest

from dagc.driver.check import check
from dagc.graph.graph import Node
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.results.metrics import Metrics
from dagc.schedule.timeline import Timeline
from dagc.source import Source

DEEPSEEK = "model deepseek-v3 { layers 4 }\ncluster h800-sxm x 64\n"
MIXTRAL = "model mixtral-8x7b\ncluster h100-sxm x 8\n"


@cache
def compiled(text: str) -> tuple[Metrics, tuple[Timeline, ...]]:
    priced = check(Source("plan.moe", text), sample=None).checked[0].priced
    assert priced.assessment.metrics is not None and priced.timelines is not None
    return priced.assessment.metrics, tuple(priced.timelines)


def metrics(workload: str, strategy: str = "ep 8", engine: str = "", model: str = MIXTRAL) -> Metrics:
    return compiled(f"{model}{engine}\nworkload {{ {workload} }}\n{strategy}\n")[0]


def layer(phase: PricedPhase) -> dict[str, int]:
    """Picoseconds of each node of an MoE layer, by its key."""
    last = [segment.template for _, _, _, segment in phase.graph.segments() if segment.first_layer is not None][-1]
    nodes = zip(phase.graph.templates[last].nodes, phase.costs[last], strict=True)
    return {node.key: int(cost.duration.max()) for node, cost in nodes}


def prefilled(batch: int, strategy: str) -> tuple[Timeline, dict[str, int]]:
    _, timelines = compiled(f"{DEEPSEEK}workload {{ batch {batch}    prompt 4096    output 2 }}\n{strategy}\n")
    return timelines[0], layer(timelines[0].priced)


def test_a_batch_that_computes_beside_the_other_s_exchange_has_112_of_132_multiprocessors() -> None:
    """Twice the batch in two halves: each has the shapes of the whole one, and 132/112 of its time at compute's limit.

    The core of attention is compute-bound all through, so that it takes 1.18 times as long; a norm waits for memory.
    """
    _, alone = prefilled(64, "ep 64")
    _, half = prefilled(128, "ep 64 [overlap 2]")
    assert half["a.attention.core"] / alone["attention.core"] == pytest.approx(132 / 112, rel=0.01)
    assert half["b.attention.norm"] == alone["attention.norm"]
    assert half["a.moe.dispatch"] == alone["moe.dispatch"]


def test_two_batches_hide_exchanges_and_never_more_than_all_of_them() -> None:
    """Two halves take less than one after the other, and at least what they compute, and what they exchange."""
    serial, alone = prefilled(64, "ep 64")
    beside, half = prefilled(128, "ep 64 [overlap 2]")
    exchanged = sum(time for key, time in half.items() if key.endswith(("dispatch", "combine")))
    computed = sum(half.values()) - exchanged
    assert beside.makespan < 2 * serial.makespan
    assert beside.makespan > max(exchanged, computed)
    assert sum(alone.values()) < serial.makespan


def moe_nodes(strategy: str) -> tuple[Node, ...]:
    timeline, _ = prefilled(128, strategy)
    last = [segment.template for _, _, _, segment in timeline.priced.graph.segments()][-2]
    return timeline.priced.graph.templates[last].nodes


def needed(nodes: tuple[Node, ...], key: str) -> set[str]:
    """Keys of all that ends before the node of a key begins."""
    index = next(i for i, node in enumerate(nodes) if node.key == key)
    found: set[int] = set()
    waiting = [index]
    while waiting:
        node = nodes[waiting.pop()]
        before = {i for i in (*node.inputs, *node.after) if i >= 0} - found
        found |= before
        waiting.extend(before)
    return {nodes[i].key for i in found}


def test_shared_experts_run_beside_the_dispatch_where_batches_overlap_and_before_it_elsewhere() -> None:
    """Neither waits for the other, and they have lanes of their own; without overlap the dispatch comes after."""
    beside, alone = moe_nodes("ep 64 [overlap 2]"), moe_nodes("ep 64")
    assert not any("shared" in key for key in needed(beside, "a.moe.dispatch"))
    assert "a.moe.dispatch" not in needed(beside, "a.moe.shared.down")
    assert "moe.shared.down" in needed(alone, "moe.dispatch")


def test_shared_experts_beside_the_dispatch_take_no_time_of_their_own_where_they_are_shorter() -> None:
    """Of four layers one has experts: the phase is shorter by its shared experts, all of which the dispatch covers."""
    serial, alone = prefilled(128, "ep 64")
    beside, _ = prefilled(128, "ep 64 [beside]")
    shared = sum(time for key, time in alone.items() if "shared" in key)
    assert 0 < shared < alone["moe.dispatch"]
    assert serial.makespan - beside.makespan == shared


def test_prompts_in_chunks_lengthen_the_interval_between_tokens() -> None:
    """Eight requests a GPU: over 256 steps the 63 others have a prompt each, of which those of one GPU hold up all.

    It is at least what seven prefills take, each with one on every GPU, and less than 63, because prompts share the
    weights that a decode step reads anyway.
    """
    still, served = (
        metrics("batch 64    prompt 2048    output 256"),
        metrics("concurrency 64    prompt 2048    output 256"),
    )
    prompts = served.prefill.seconds / 256
    added = served.decode.seconds - still.decode.seconds
    assert 7 * prompts < added < 63 * prompts


def test_a_fuller_engine_is_slower_between_tokens() -> None:
    found = [metrics(f"concurrency {many}    prompt 2048    output 256").decode.seconds for many in (8, 32, 64, 128)]
    assert found == sorted(found)


def test_half_of_a_prompt_cached_is_half_of_its_products_and_three_quarters_of_its_attention() -> None:
    """(1 - 1/4) of the triangle of pairs remain, so that TTFT falls to between the half and three quarters."""
    whole, cached = (metrics(f"concurrency 64    prompt 2048    output 256{more}") for more in ("", "    cached 50 %"))
    assert 0.5 < cached.prefill.seconds / whole.prefill.seconds < 0.75
    assert cached.decode.seconds < whole.decode.seconds


@pytest.mark.parametrize(("engine", "seconds"), [("", 0.0), ("vllm", 2e-4), ("sglang", 4e-4), ("trtllm", 2e-4)])
def test_a_step_takes_its_host_s_time_too(engine: str, seconds: float) -> None:
    text = f"{MIXTRAL}{engine and f'engine {engine}'}\nworkload {{ batch 64    prompt 2048    output 256 }}\ntp 8\n"
    found, timelines = compiled(text)
    assert found.decode.seconds == pytest.approx(timelines[1].interval / PICOSECONDS + seconds, rel=1e-9)


def test_drafts_are_a_layer_each_and_checked_in_one_step() -> None:
    """1 + 0.7 + 0.7² + 0.7³ = 2.533 tokens of a step over four tokens a sequence and 3/32 of it for three drafts."""
    text = f"{MIXTRAL}workload {{ batch 64    prompt 2048    output 256    draft 3    accept 70 % }}\nep 8\n"
    found, timelines = compiled(text)
    step = timelines[1].interval / PICOSECONDS
    plain = metrics("batch 64    prompt 2048    output 256").decode.seconds
    assert found.decode.seconds == pytest.approx(step * (1 + 3 / 32) / 2.533, rel=1e-9)
    assert plain < step < 4 * plain
