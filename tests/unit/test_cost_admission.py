"""How many requests run at once: by hand, for a model whose cache is easy to count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dagc.cost.admission import admitted, share_taken
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


def with_room() -> tuple[Callable[[float], Plan], float]:
    """Takes room for so many sequences to a plan of SGLang on a device that has it beside the rest; and that rest.

    With a chunk of one prompt, activations are the same for any number of sequences up to a hundred.
    """
    plain = served(1e12, chunk=1000, batch=100, concurrency=100)
    subject = replace(plain, facts=replace(plain.facts, engine=get_engine("sglang")))
    rest = beside_the_cache(subject)

    def on(sequences: float) -> Plan:
        device = replace(subject.facts.cluster.device, memory_bytes=(rest + sequences * EACH) * 1e9 / 2**30)
        return replace(subject, facts=replace(subject.facts, cluster=replace(subject.facts.cluster, device=device)))

    return on, rest


def test_an_engine_takes_its_share_and_users_raise_it_where_weights_fill_most_of_a_device() -> None:
    """SGLang takes 88 %: of what is beside the rest, M - R, less 12 % of M; the cache has half of M - R at least.

    The default is more from M = R / 0.76 on.
    """
    on, rest = with_room()
    assert admitted(on(24.6)).facts.workload.batch == 12
    many = 0.4 * rest / EACH
    assert admitted(on(many)).facts.workload.batch == int(0.88 * many - 0.12 * rest / EACH)


def test_more_memory_never_holds_fewer() -> None:
    on, rest = with_room()
    running = [admitted(on(share * rest / EACH)).facts.workload.batch for share in (0.02, 0.1, 0.13, 0.14, 0.15, 0.2)]
    assert running == sorted(running) and running[0] == int(0.01 * rest / EACH)


def test_the_share_that_an_engine_is_given_leaves_the_cache_what_admission_counts() -> None:
    """A quarter of the rest is beside it: half of that is left alone, a tenth of the device."""
    on, rest = with_room()
    subject = on(0.25 * rest / EACH)
    (memory,) = rank_memory(subject)
    assert share_taken(subject, memory) == pytest.approx(1 - 0.125 / 1.25)
    assert share_taken(on(3 * rest / EACH), rank_memory(on(3 * rest / EACH))[0]) == 0.88


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
