"""How many requests run at once: by hand, for a model whose cache is easy to count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dagc.cost.admission import admitted
from dagc.cost.memory import MemoryPart, rank_memory
from dagc.engines.registry import get_engine
from dagc.plan.plan import Plan
from dagc.plan.workload import Workload
from tests.unit.lowering_plans import DEMO, layout, plan, service

SERVED = Workload(batch=1000, prompt=1000, output=2000, concurrency=1000)
EACH = 2 * 2 * 16 * 8 * 64 * 2000
"""Bytes of keys and values of a sequence of 2,000 tokens, its mean: 16 layers, 8 heads of 64, two bytes each."""


def served(memory_bytes: float, tp: int = 1, dp: int = 1, **changes) -> Plan:
    attention = layout(dp=dp, tp=tp) if dp > 1 else layout(tp=tp)
    one = plan(service(attention, attention), model=DEMO)
    device = replace(one.facts.cluster.device, memory_bytes=memory_bytes)
    cluster = replace(one.facts.cluster, device=device)
    return replace(one, facts=replace(one.facts, cluster=cluster, workload=replace(SERVED, **changes)))


def beside_the_cache(subject: Plan) -> float:
    (memory,) = rank_memory(subject)
    return memory.max_bytes - memory.max_parts[MemoryPart.KV_CACHE]


@pytest.mark.parametrize(("tp", "dp"), [(1, 1), (2, 1), (1, 4)])
def test_the_cache_holds_sequences_of_the_mean_length(tp: int, dp: int) -> None:
    """Room for 10.5 sequences on each rank beside the rest: ten, on each rank of dp, with 1 / tp of the heads."""
    rest = beside_the_cache(served(1e12, tp, dp))
    memory = (rest + 10.5 * EACH / tp) * 1e9 / 2**30
    assert admitted(served(memory, tp, dp)).facts.workload.batch == 10 * dp


def test_no_more_run_than_are_in_flight() -> None:
    subject = served(1e15, concurrency=7, batch=7)
    assert admitted(subject) is subject


def test_one_runs_even_where_none_fits() -> None:
    assert admitted(served(1e9)).facts.workload.batch == 1


def test_a_static_batch_is_not_admitted() -> None:
    subject = served(1e9, concurrency=None)
    assert admitted(subject) is subject


def test_an_engines_share_of_memory_gives_way_where_nothing_would_fit() -> None:
    """SGLang takes 88 %: of room for 12 sequences beside the rest, less 12 % of all; none is left of room for two.

    With a chunk of one prompt, activations are the same for any number of them up to a hundred.
    """
    plain = served(1e12, chunk=1000, batch=100, concurrency=100)
    subject = replace(plain, facts=replace(plain.facts, engine=get_engine("sglang")))
    rest = beside_the_cache(subject)

    def running(capacity: float) -> int:
        device = replace(subject.facts.cluster.device, memory_bytes=capacity * 1e9 / 2**30)
        facts = replace(subject.facts, cluster=replace(subject.facts.cluster, device=device))
        return admitted(replace(subject, facts=facts)).facts.workload.batch

    assert running((rest + 12.5 * EACH) / 0.88) == 12
    assert running(rest + 2.5 * EACH) == 2


def test_tensorrt_llm_takes_its_share_of_what_is_free() -> None:
    """90 % of what weights and a step leave: of room for 20 sequences beside the rest, 18. Others take 90 % of all.

    The sequences hold a whole number of its blocks of 32 tokens.
    """
    plain = served(1e12, chunk=1024, batch=100, concurrency=100, prompt=1024, output=1024)
    subject = replace(plain, facts=replace(plain.facts, engine=get_engine("trtllm")))
    mean = EACH * (1024 + 512) / 2000
    capacity = (beside_the_cache(subject) + 20.2 * mean) * 1e9 / 2**30
    device = replace(subject.facts.cluster.device, memory_bytes=capacity)
    facts = replace(subject.facts, cluster=replace(subject.facts.cluster, device=device))
    assert admitted(replace(subject, facts=facts)).facts.workload.batch == 18
