"""The time of a transfer by the length of the prompt, against the transfer that TTFT has."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from dagc.cost.price import price
from dagc.driver.check import check
from dagc.lower.handover import lower_transfer
from dagc.plan.plan import Plan
from dagc.schedule.schedule import schedule
from dagc.simulate.transfer import CacheTransferTime, transfer_time
from dagc.source import Source

STRATEGIES = {
    "pools": "prefill < tp 4 > | decode < dp 4 >",
    "stages": "prefill < pp 2 < tp 2 > > | decode < tp 4 >",
    "shared": "tp 8",
}


@cache
def plan(strategy: str, load: str = "concurrency 8") -> Plan:
    text = f"model llama-3.1-8b\ncluster h100-sxm x 8\nworkload {{ {load} prompt 1000 output 64 }}\n"
    found = check(Source("plan.moe", f"{text}strategy s = {STRATEGIES[strategy]}\n"), sample=None)
    assert found.checked, [d.message for d in found.diagnostics]
    return found.checked[0].plan


def exact(subject: Plan, prompt: int) -> int:
    workload = replace(subject.facts.workload, prompt=prompt)
    one = replace(subject, facts=replace(subject.facts, workload=workload))
    phase = lower_transfer(one)
    assert phase is not None
    return schedule(price(phase, one)).makespan


@pytest.mark.parametrize("strategy", ["pools", "stages"])
def test_it_is_that_of_the_graph_at_both_ends_and_between(strategy: str) -> None:
    """At both ends but for the rounding of a token's time; between, short messages fill a link less than long ones."""
    subject = plan(strategy)
    found = transfer_time(subject, 100, 8100)
    for prompt in (100, 8100):
        assert found.base + found.token * prompt == pytest.approx(exact(subject, prompt), abs=8100)
    for prompt in (300, 500, 1000, 4000):
        assert 0.97 <= (found.base + found.token * prompt) / exact(subject, prompt) <= 1


def test_a_token_takes_its_bytes_over_the_link_of_the_receiver() -> None:
    """32 layers x keys and values x 8 heads x 128 x 2 bytes = 131,072 bytes a token, all of them to the one GPU that
    decodes the request; NVLink of an H100 has 450 GB/s each way, so that no token takes less than 291 ns. A quarter of
    them each leave the four GPUs that prefilled it.
    """
    found = transfer_time(plan("pools"), 100, 8100)
    least = 131_072 / 450e9 * 1e12
    assert least <= found.token <= 2 * least
    assert found.base > 0


def test_one_length_is_a_base_alone() -> None:
    subject = plan("pools")
    assert transfer_time(subject, 1000, 1000) == CacheTransferTime(exact(subject, 1000), 0)


def test_a_static_batch_takes_as_long_by_request_and_shared_gpus_nothing() -> None:
    assert transfer_time(plan("pools", "batch 8"), 10, 1000) == transfer_time(plan("pools"), 10, 1000)
    assert transfer_time(plan("shared"), 10, 1000) == CacheTransferTime(0, 0)
