"""What a TPOT consists of, which part is its cause, and what a verdict on it says. Numbers are by hand.

The plain step: 20 ms on the GPUs and 1 ms of the host; a step with prompts takes 100 ms more, 0.15 of them for each
decode step: 20 + 1 + 15 = 36 ms a token.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import dagc
from dagc.export.text.whatif import render_whatif
from dagc.results.serving import breaking_part, cause, is_decode_step_alone, step_parts, sum_text
from dagc.results.summary import Serving
from dagc.results.whatif import WhatIf
from dagc.units import format_seconds
from tests.unit.test_whatif import LINKS, MEMORY_BOUND, MODEL, asked, effects

ALONE = Serving(
    concurrency=None,
    running=64,
    step_seconds=0.020,
    host_seconds=0.0,
    draft_seconds=0.0,
    tokens_per_step=1.0,
    prompt_step_seconds=0.0,
    prompt_steps=0.0,
)
PLAIN = replace(
    ALONE, concurrency=64, step_seconds=0.021, host_seconds=0.001, prompt_step_seconds=0.1, prompt_steps=0.15
)
OFTEN = replace(PLAIN, prompt_steps=0.25)
DRAFTED = replace(ALONE, step_seconds=0.024, host_seconds=0.001, draft_seconds=0.003, tokens_per_step=2.0)


def test_the_parts_are_those_of_tpot() -> None:
    assert [(part.name, round(part.seconds, 9)) for part in step_parts(PLAIN)] == [
        ("decode step", 0.020),
        ("prefill interleaved with decode", 0.015),
        ("host", 0.001),
    ]
    assert sum_text(PLAIN) == "decode step 20 ms + prefill interleaved with decode 15 ms + host 1 ms"
    assert not is_decode_step_alone(PLAIN)


def test_what_is_drawn_is_all_of_a_static_batch_without_an_engine() -> None:
    assert is_decode_step_alone(ALONE)
    assert sum_text(ALONE) == "decode step 20 ms"


def test_a_step_that_yields_several_tokens_is_divided_among_them() -> None:
    assert sum_text(DRAFTED) == "(decode step 20 ms + host 1 ms + drafts 3 ms) / 2 tokens"


def test_tpot_is_bound_by_its_largest_part() -> None:
    """20 of 36 ms are the step, 25 of 46 ms prefill."""
    assert cause(PLAIN, "memory") == "memory"
    assert cause(OFTEN, "memory") == "prefill interleaved with decode"
    assert cause(ALONE, "compute") == "compute"


@pytest.mark.parametrize(
    ("times", "missed", "expected"),
    [
        pytest.param(PLAIN, 0.030, "prefill interleaved with decode", id="the step alone meets 30 ms, 36 ms does not"),
        pytest.param(PLAIN, 0.020, "prefill interleaved with decode", id="the step alone just meets it"),
        pytest.param(PLAIN, 0.015, None, id="the step alone misses 15 ms"),
        pytest.param(OFTEN, 0.015, None, id="the step alone misses 15 ms, whatever comes beside"),
        pytest.param(replace(PLAIN, prompt_steps=0.0), 0.0205, "host", id="20 ms meets 20.5 ms, with the host 21 ms"),
        pytest.param(DRAFTED, 0.011, "drafts", id="10 ms a token meets 11 ms, with 3 ms of drafts a step 12 ms"),
        pytest.param(ALONE, 0.010, None, id="nothing but the step"),
    ],
)
def test_a_limit_that_the_step_would_keep_is_broken_by_the_largest_of_the_others(
    times: Serving, missed: float, expected: str | None
) -> None:
    assert breaking_part(times, missed) == expected


def verdict(workload: str, limit: str, engine: str | None = "sglang") -> tuple[bool | None, str]:
    plan = dagc.compile(
        "ep 32", model="deepseek-v3", cluster="h200-sxm x 32", engine=engine, workload=workload, require=limit
    )
    (row,) = plan["main"].summary.requirements
    return row.ok, row.reason


def test_a_limit_between_the_step_and_tpot_is_broken_by_prefill() -> None:
    """The same plan under three limits. The parts sum to TPOT, as far as they are shown."""
    busy = "concurrency 512 prompt 4096 output 1024"
    ok, reason = verdict(busy, "tpot <= 30 ms")
    assert ok is False
    assert reason.startswith("inter-token latency, missed because of prefill interleaved with decode: decode step ")
    step, prefill, host = (float(one) for one in re.findall(r"([\d.]+) (?:ms|us)", reason))
    assert step < 30 < step + prefill + host / 1000
    assert verdict(busy, "tpot <= 20 ms")[1].startswith("inter-token latency, memory-bound: ")
    ok, reason = verdict(busy, "tpot <= 50 ms")
    assert ok is True
    assert reason.startswith("inter-token latency, memory-bound: ")


def test_a_static_batch_without_an_engine_has_the_steady_interval() -> None:
    ok, reason = verdict("batch 512 prompt 4096 output 1024", "tpot <= 30 ms", None)
    assert ok is True
    assert reason.startswith("steady-state inter-token latency, memory-bound; single-step latency ")


def test_why_tpot_changes_has_the_parts_of_tpot() -> None:
    """With half the output each request has its prompts between half as many tokens: the step on the GPUs hardly
    changes, and what comes between takes longer.
    """
    load = "workload { concurrency 64    prompt 2048    output 8 }\n"
    found = asked(f"{MODEL}{MEMORY_BOUND}{LINKS}{load}strategy main = ep 8\n", "workload")
    states = [state for one in found.effects for phase in one.phases for state in (phase.before, phase.after)]
    for state in states:
        if state.parts_seconds:
            assert sum(state.parts_seconds.values()) == pytest.approx(state.seconds, rel=1e-9)
    (decode,) = (phase for phase in effects(found, "output")["4"].phases if phase.phase == "decode")
    name = "prefill interleaved with decode"
    assert decode.after.parts_seconds[name] > 1.2 * decode.before.parts_seconds[name]
    step = decode.before.parts_seconds["decode step"]
    assert decode.after.parts_seconds["decode step"] == pytest.approx(step, rel=0.05)
    told = render_whatif(WhatIf(assumed=None, strategies=[found], duels=[], diagnostics=[]), 20)
    assert f"{name} {format_seconds(decode.before.parts_seconds[name])} → " in told
