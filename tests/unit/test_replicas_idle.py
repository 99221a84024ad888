"""Fewer requests in flight than replicas: the others idle, and the figures are those of the replicas that work."""

from __future__ import annotations

import pytest

import dagc
from dagc.results.summary import Summary

MODEL = """model tiny {
    layers 8    hidden 1024    vocab 32000    dtype bf16
    attention { heads 8    kv_heads 4    head_dim 128 }
    experts 8 { top 2    ffn 2048 }
}
cluster h100-sxm x 32
"""
COPIES = ("dp {n}", "dp {n} < tp 2 >", "dp {n} < pp 2 >", "dp {n} < ep 2 >")


def compiled(strategy: str, load: str) -> dagc.Plan:
    return dagc.compile(f"{MODEL}workload {{ {load}    prompt 128    output 16 }}\n{strategy}\n")


def summary(strategy: str, load: str) -> Summary:
    plan = compiled(strategy, load)
    assert not [one for one in plan.diagnostics if one.severity == "error"], str(plan)
    return plan["main"].summary


def times(found: Summary) -> tuple[float, ...]:
    assert found.phases is not None and found.throughput is not None
    rate = found.throughput.output_tokens_per_second
    return found.phases.prefill.seconds, found.phases.decode.seconds, found.phases.decode.latency_seconds, rate


def warned(strategy: str, load: str) -> list[str]:
    return [one.message for one in compiled(strategy, load).diagnostics if one.code.code == "W152"]


@pytest.mark.parametrize("copies", COPIES)
@pytest.mark.parametrize("requests", [1, 2, 3])
@pytest.mark.parametrize("rate", ["", "    rate 1 requests/s"])
def test_the_replicas_that_work_decide(copies: str, requests: int, rate: str) -> None:
    """Three of four replicas with a request each do what three replicas do, on more GPUs."""
    load = f"concurrency {requests}{rate}"
    some, all_work = summary(copies.format(n=4), load), summary(copies.format(n=requests), load)
    assert times(some) == times(all_work)
    assert some.throughput and all_work.throughput and some.serving and all_work.serving
    per_gpu = some.throughput.output_tokens_per_second_per_gpu
    assert per_gpu == pytest.approx(all_work.throughput.output_tokens_per_second_per_gpu * requests / 4)
    assert some.serving.running == requests


@pytest.mark.parametrize("copies", COPIES)
@pytest.mark.parametrize("requests", [1, 2, 3, 4, 5])
def test_it_is_said_how_many_idle(copies: str, requests: int) -> None:
    idle = 4 - requests
    expected = [f"{idle} of the 4 replicas {'have' if idle > 1 else 'has'} no request"] if idle > 0 else []
    assert warned(copies.format(n=4), f"concurrency {requests}") == expected


def test_each_pool_is_counted_by_itself() -> None:
    pools = "prefill < dp 2 > | decode < dp 5 < tp 2 > >"
    assert warned(pools, "concurrency 3") == ["2 of the 5 replicas of decode have no request"]
    assert warned(f"dp 2 < {pools} >", "concurrency 3") == [
        "1 of the 4 replicas of prefill has no request",
        "7 of the 10 replicas of decode have no request",
    ]


@pytest.mark.parametrize("copies", COPIES)
def test_of_a_static_batch_it_stays_an_error(copies: str) -> None:
    plan = compiled(copies.format(n=4), "batch 3")
    assert [one.code.code for one in plan.diagnostics if one.severity == "error"] == ["D107"]
    assert not warned(copies.format(n=4), "batch 3")
