"""Claims and requirements held against chosen times, rates and shares."""

from __future__ import annotations

import pytest

from dagc.plan.deployment import Phase
from dagc.results.assess import assess
from dagc.results.assessment import Basis
from dagc.schedule.shares import Shares
from tests.unit.results_plans import plan
from tests.unit.test_results_metrics import timeline

PREFILL = Shares(compute=0.6, memory=0.1, communication=0.1, bubble=0.2)
DECODE = Shares(compute=0.1, memory=0.5, communication=0.3, bubble=0.1)
TIMELINES = (timeline(Phase.PREFILL, 2.0, 2.0, PREFILL), timeline(Phase.DECODE, 0.05, 0.04, DECODE))
"""TTFT 2 s, one decode step 50 ms, TPOT 40 ms; of 64 GPUs."""

LOAD = "workload { batch 32    prompt 1000    output 10 }\n"


@pytest.mark.parametrize(
    ("claim", "ok"),
    [
        ("ttft 2 s", True),
        ("ttft 2.0004 s", True),  # a model is compared at three digits
        ("ttft 2.01 s", False),
        ("ttft <= 1.999 s", True),  # 2.00 at three digits
        ("ttft <= 1.9 s", False),
        ("ttft < 2 s", False),
        ("tpot 40 ms", True),
        ("latency 40 ms", True),
        ("latency 50 ms", False),  # one step from an idle pipeline is not the interval
        # 32 requests in 2 + 0.05 + 8 × 0.04 = 2.37 s: 13.5 a second of 10 output and 1,010 total tokens
        ("throughput 135 output tokens/s", True),
        ("throughput 13500 input tokens/s", True),
        ("throughput 13637 tokens/s", True),
        ("throughput 13637 total tokens/s", True),
        ("throughput 213 tokens/s per gpu", True),
        ("throughput 2.11 output tokens/s per gpu", True),
        ("throughput 213 tokens/s", False),
        # the larger of the phases' shares
        ("communication 30 %", True),
        ("communication 10 %", False),
        ("bubble 20 %", True),
    ],
)
def test_a_claim_is_held_against_the_timelines(claim: str, ok: bool) -> None:
    (found,) = assess(plan(f"{LOAD}claims main {{ {claim} }}"), None, TIMELINES).claims
    assert (found.basis, found.ok) == (Basis.MODEL, ok)


@pytest.mark.parametrize(
    ("requirement", "ok"),
    [
        ("ttft <= 2 s", True),
        ("ttft < 2 s", False),
        ("ttft <= 1.999 s", False),  # requirements are not rounded
        ("tpot <= 40 ms", True),
        ("throughput >= 100 tokens/s per gpu", True),
        ("throughput >= 100 output tokens/s per gpu", False),
        ("communication <= 20 %", False),
        ("bubble <= 20 %", True),
        ("gpus <= 63", False),
    ],
)
def test_a_requirement_is_held_against_the_timelines(requirement: str, ok: bool) -> None:
    (found,) = assess(plan(f"{LOAD}require {{ {requirement} }}"), None, TIMELINES).requirements
    assert found.ok is ok
