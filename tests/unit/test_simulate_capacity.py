"""Blocks of KV cache of a rank, by hand, for a model whose cache is easy to count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dagc.cost.memory import MemoryPart, rank_memory
from dagc.engines.registry import get_engine
from dagc.plan.plan import Plan
from dagc.plan.workload import Workload
from dagc.simulate.capacity import CacheCapacity, cache_capacity, refused, refused_prompt
from dagc.simulate.policy import Policy
from tests.unit.lowering_plans import DEMO, layout, plan, service

TOKEN = 2 * 2 * 16 * 8 * 64
"""Bytes of a token's keys and values: 16 layers, 8 heads of 64, two bytes each: 32,768."""


def served(memory_bytes: float, **degrees: int) -> Plan:
    attention = layout(**degrees)
    one = plan(service(attention, attention), model=DEMO)
    device = replace(one.facts.cluster.device, memory_bytes=memory_bytes)
    workload = Workload(batch=8, prompt=1000, output=2000, concurrency=8, block=16)
    cluster = replace(one.facts.cluster, device=device)
    return replace(one, facts=replace(one.facts, cluster=cluster, workload=workload))


def capacity(subject: Plan) -> CacheCapacity:
    return cache_capacity(subject, subject.deployment.services[0], rank_memory(subject))


def beside_the_cache(subject: Plan) -> float:
    (memory,) = rank_memory(subject)
    return memory.max_bytes - memory.max_parts[MemoryPart.KV_CACHE]


def stated(binary_bytes: float) -> float:
    """What a device is sold with that has so many bytes: gigabytes for gibibytes."""
    return binary_bytes * 1e9 / 2**30


@pytest.mark.parametrize(("degrees", "parts"), [({"tp": 1}, 1), ({"tp": 2}, 2), ({"dp": 4}, 1)])
def test_blocks_are_what_fits_beside_all_else(degrees: dict[str, int], parts: int) -> None:
    """Room for 1,000.5 blocks of 16 tokens, of which each rank of tp keeps its heads: 1,000 of them."""
    rest = beside_the_cache(served(1e12, **degrees))
    found = capacity(served(stated(rest + 1000.5 * 16 * TOKEN / parts), **degrees))
    assert (found.blocks, found.block_tokens, found.tokens) == (1000, 16, 16_000)
    assert found.free_bytes == pytest.approx(1000.5 * 16 * TOKEN / parts)


def test_an_engine_takes_its_share_of_the_device() -> None:
    """SGLang takes 88 %: of what a device has beside the rest, R, less 12 % of all. Half of it at least, which is more
    where the rest is more than 76 %; and what all of it holds where half has no room for a block.
    """
    plain = served(1e12, tp=1)
    subject = replace(plain, facts=replace(plain.facts, engine=get_engine("sglang")))
    rest = beside_the_cache(subject)

    def blocks(room: float) -> int:
        device = replace(subject.facts.cluster.device, memory_bytes=stated(room))
        cluster = replace(subject.facts.cluster, device=device)
        return capacity(replace(subject, facts=replace(subject.facts, cluster=cluster))).blocks

    block = 16 * TOKEN
    assert blocks(2 * rest) == int(0.76 * rest / block)
    assert blocks(rest + 200.8 * block) == 100
    assert blocks(rest + 1.5 * block) == 1


def test_a_request_that_never_fits_is_refused_with_numbers() -> None:
    """100 blocks of 16 tokens hold 1,600: a request of 1,000 and 600 fits, one more token needs block 101."""
    held = CacheCapacity(100, 16, 1600.0 * TOKEN)
    assert refused(0, 1000, 600, held) is None
    found = refused(4, 1000, 601, held)
    assert found is not None and found.needed_blocks == 101
    assert found.message == (
        "request 5 does not fit into the KV cache: 1,000 tokens of prompt and 601 of output need 101 blocks"
    )
    assert found.reason == "a rank has 100 blocks of 16 tokens, 1,600 tokens, in 52.4 MB"
    assert refused(0, 1000, 600, held, drafted=1) is not None


def test_memory_for_nothing_is_no_block() -> None:
    assert capacity(served(1e6, tp=1)).blocks == 0


@pytest.mark.parametrize(
    ("policy", "fits"),
    [
        (Policy(mixes=True, chunks=False, budget=8192), False),
        (Policy(mixes=True, chunks=False, budget=8193), True),
        (Policy(mixes=True, chunks=True, budget=8192), True),
        (Policy(mixes=False, chunks=False, prompt_budget=8192), True),
    ],
)
def test_a_prompt_that_is_not_split_needs_a_step_for_itself(policy: Policy, fits: bool) -> None:
    """8,193 tokens: one more than a step of 8,192 has; a step of prompts alone takes one of any length."""
    found = refused_prompt(2, 8193, policy)
    assert (found is None) == fits
    if found:
        assert found.message == "request 3 does not fit into a step: 8,193 tokens of prompt are computed at once"
