"""Requests in flight that a deployment holds, holds in part, or cannot hold at all: as arithmetic on bytes has it.

A token takes 2 (keys and values) × 4 heads × 64 × 2 bytes = 1,024 bytes in each of 8 layers, whole on a rank, or the
part of the heads and layers that tp and pp leave it. What a rank has beside its cache is read from a deployment with
room for everything. Lengths are whole blocks of cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dagc
from dagc.driver import memory as driver
from dagc.results.summary import Summary
from dagc.source import Source
from tests.harness.effort import examples

GIB = 2**30 / 1e9
"""What a device has of each GB that it is sold with."""

LAYERS, TOKEN = 8, 2 * 4 * 64 * 2
MODEL = f"""model small {{
    layers {LAYERS}    hidden 256    vocab 1000    dtype bf16
    attention {{ heads 8    kv_heads 4    head_dim 64 }}
    experts 8 {{ top 2    ffn 256 }}
}}
"""
ROOMY = 1e12


@dataclass(frozen=True)
class Split:
    """A strategy: how many parts have caches of their own, and the share of a sequence's cache that a rank holds."""

    text: str
    parts: int
    share: float


SPLITS = (
    Split("tp 1", 1, 1.0),
    Split("tp 2", 1, 1 / 2),
    Split("pp 2", 1, 1 / 2),
    Split("dp 3", 3, 1.0),
    Split("ep 4", 4, 1.0),
    Split("dp 2 < ep 2 ; tp 2 >", 2, 1 / 2),
    Split("pp 2 < ep 2 >", 2, 1 / 2),
    Split("prefill < tp 4 > | decode < dp 2 < tp 2 > >", 2, 1 / 2),
)


@dataclass(frozen=True)
class Load:
    """What is asked for, in tokens and requests."""

    prompt: int
    output: int
    concurrency: int


loads = st.builds(
    Load,
    prompt=st.integers(1, 40).map(lambda blocks: 16 * blocks),
    output=st.integers(1, 20).map(lambda blocks: 32 * blocks),
    concurrency=st.integers(1, 40),
)


def text(split: Split, load: Load, memory: float) -> str:
    device = f"device {{ memory {memory / 1e9:.9f} GB    bandwidth 1 TB/s    compute 100 TFLOP/s }}"
    cluster = f"cluster lab {{ gpus 8    node 8    {device}    link 100 GB/s    network 10 GB/s    reserve 0 GB }}\n"
    lengths = f"prompt {load.prompt}    output {load.output}    chunk 256    block 16"
    workload = f"workload {{ concurrency {load.concurrency}    {lengths} }}\n"
    return f"{MODEL}{cluster}{workload}{split.text}\n"


def compiled(split: Split, load: Load, memory: float) -> dagc.Strategy:
    return dagc.compile(text(split, load, memory))["main"]


@cache
def beside(split: Split, load: Load, running: int) -> float:
    """Bytes beside the cache on the fullest GPU that decodes, with so many requests and room for them all."""
    (one,) = driver.memory(Source("plan", text(split, Load(load.prompt, load.output, running), ROOMY))).strategies
    assert one.memory is not None
    parts = one.memory.pools[-1].parts_bytes
    return sum(parts.values()) - parts["kv_cache"]


def held(split: Split, load: Load, memory: float) -> int:
    """Requests that run: the most of which those on one rank fit, at the mean length, beside what as many need, where
    that leaves room for one in full of what the device is sold with.
    """
    mean = (load.prompt + load.output / 2) * LAYERS * TOKEN * split.share
    one = (load.prompt + load.output) * LAYERS * TOKEN * split.share

    def fits(number: int) -> bool:
        taken = beside(split, load, number)
        return taken + ceil(number / split.parts) * mean <= memory * GIB and taken + one <= memory

    return next(filter(fits, range(load.concurrency, 0, -1)), 0)


def codes(found: dagc.Strategy) -> set[str]:
    return {one.code.code for one in found.checked.diagnostics} & {"M101", "W151"}


def running(summary: Summary) -> int | None:
    return summary.serving.running if summary.serving else None


@settings(max_examples=examples(7, 15), deadline=None)
@given(st.sampled_from(SPLITS), loads, st.floats(0.3, 14))
def test_a_plan_holds_what_the_caches_have_room_for(split: Split, load: Load, room: float) -> None:
    """The device has what one request a part needs, and room for so many requests in full."""
    one = (load.prompt + load.output) * LAYERS * TOKEN * split.share
    least = beside(split, load, min(load.concurrency, split.parts))
    assume(abs(room - 1) > 1e-3)
    memory = least + room * one
    found = compiled(split, load, memory)
    summary = found.summary
    assert summary.memory is not None
    if room < 1:
        assert codes(found) == {"M101"} and not summary.memory.fits
        return
    number = held(split, load, memory)
    is_part = number < load.concurrency
    assert codes(found) == ({"W151"} if is_part else set())
    assert summary.memory.fits and summary.memory.requests_at_once == (number if is_part else None)
    assert running(summary) == number


@settings(max_examples=examples(2, 4), deadline=None)
@given(st.sampled_from(SPLITS), loads, st.integers(1, 6))
def test_one_more_than_is_held_is_held_in_part(split: Split, load: Load, room: int) -> None:
    """All of a load run up to a number; from there on as many run as at it, with the same figures."""
    one = (load.prompt + load.output) * LAYERS * TOKEN * split.share
    memory = beside(split, load, split.parts) + (room + 0.5) * one
    full = held(split, Load(load.prompt, load.output, 25 * split.parts), memory)
    at, above, far = (
        compiled(split, Load(load.prompt, load.output, full + more), memory).summary for more in (0, 1, 5 * split.parts)
    )
    assert [running(one) for one in (at, above, far)] == [full] * 3
    assert at.memory and above.memory and far.memory and at.phases and far.phases and at.throughput and far.throughput
    assert [one.requests_at_once for one in (at.memory, above.memory, far.memory)] == [None, full, full]
    assert far.phases.decode.seconds == at.phases.decode.seconds
    assert far.throughput.output_tokens_per_second == at.throughput.output_tokens_per_second


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(SPLITS), loads)
def test_weights_that_do_not_fit_are_refused_whatever_is_in_flight(split: Split, load: Load) -> None:
    found = compiled(split, load, beside(split, load, min(load.concurrency, split.parts)) * 0.9)
    memory = found.summary.memory
    assert codes(found) == {"M101"} and memory is not None and not memory.fits
    assert found.summary.phases is not None
