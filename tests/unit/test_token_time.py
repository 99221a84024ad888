"""What a TPOT consists of, which part is its cause, and what a verdict on it says. Numbers are by hand.

The plain step: 20 ms on the GPUs and 1 ms of the host; a step with prompts takes 100 ms more, 0.15 of them for each
decode step: 20 + 1 + 15 = 36 ms a token.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import dagc
from dagc.report.serving import Serving
from dagc.report.token_time import cause, is_decode_step_alone, step_parts, sum_text

PLAIN = Serving(64, 64, 0.036, 0.021, 0.001, 0.0, 1.0, 0.1, 0.15)
OFTEN = replace(PLAIN, prompt_steps=0.25, tpot_seconds=0.046)
ALONE = Serving(None, 64, 0.020, 0.020, 0.0, 0.0, 1.0, 0.0, 0.0)
DRAFTED = Serving(None, 64, 0.012, 0.024, 0.001, 0.003, 2.0, 0.0, 0.0)


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


@pytest.mark.parametrize(
    ("times", "missed", "expected"),
    [
        pytest.param(PLAIN, None, "memory", id="no limit, or one that is met: 20 of 36 ms is the step"),
        pytest.param(PLAIN, 0.030, "prefill interleaved with decode", id="the step alone meets 30 ms, 36 ms does not"),
        pytest.param(PLAIN, 0.020, "prefill interleaved with decode", id="the step alone just meets it"),
        pytest.param(PLAIN, 0.015, "memory", id="the step alone misses 15 ms and is the largest part"),
        pytest.param(OFTEN, 0.015, "prefill interleaved with decode", id="both miss it, 25 ms of prefill the more"),
        pytest.param(OFTEN, None, "prefill interleaved with decode", id="no limit: 25 of 46 ms is prefill"),
        pytest.param(replace(PLAIN, prompt_steps=0.0), 0.0205, "host", id="20 ms meets 20.5 ms, with the host 21 ms"),
        pytest.param(DRAFTED, 0.011, "drafts", id="10 ms a token meets 11 ms, with 3 ms of drafts a step 12 ms"),
        pytest.param(ALONE, 0.010, "memory", id="nothing but the step"),
    ],
)
def test_the_cause_is_what_breaks_the_limit(times: Serving, missed: float | None, expected: str) -> None:
    assert cause(times, "memory", missed) == expected


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
    assert reason.startswith("interval between tokens, bound by prefill interleaved with decode: decode step ")
    step, prefill, host = (float(one) for one in re.findall(r"([\d.]+) (?:ms|us)", reason))
    assert step < 30 < step + prefill + host / 1000
    assert verdict(busy, "tpot <= 20 ms")[1].startswith("interval between tokens, bound by memory: ")
    ok, reason = verdict(busy, "tpot <= 50 ms")
    assert ok is True
    assert reason.startswith("interval between tokens, bound by memory: ")


def test_a_static_batch_without_an_engine_has_the_steady_interval() -> None:
    ok, reason = verdict("batch 512 prompt 4096 output 1024", "tpot <= 30 ms", None)
    assert ok is True
    assert reason.startswith("steady interval of decode, bound by memory; one step from an empty pipeline takes ")
