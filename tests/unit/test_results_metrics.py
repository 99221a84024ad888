"""Metrics from timelines whose times are chosen, so that every figure can be reckoned by hand."""

from __future__ import annotations

import pytest

from dagc.graph.graph import PhaseGraph
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.plan.deployment import Phase
from dagc.results.metrics import Metrics, measure
from dagc.schedule.program import program_of
from dagc.schedule.shares import Shares
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import Timeline
from tests.unit.results_plans import plan

SHARES = Shares(compute=0.2, memory=0.5, communication=0.2, bubble=0.1)


def timeline(phase: Phase, makespan: float, interval: float, shares: Shares = SHARES) -> Timeline:
    graph = PhaseGraph(phase, "main", (), (), ((),), (0, 0, 0, 0), (8,))
    makespan_ps, interval_ps = round(makespan * PICOSECONDS), round(interval * PICOSECONDS)
    priced = PricedPhase(graph, ())
    return Timeline(priced, makespan_ps, interval_ps, shares, None, program_of(priced, TemplateCache()), ())


def metrics(output: int, *, handover: float | None = None) -> Metrics:
    """32 sequences of 1,000 prompt tokens: TTFT 2 s, one decode step 50 ms, TPOT 40 ms."""
    subject = plan(f"workload {{ batch 32\n prompt 1000\n output {output} }}")
    between = (timeline(Phase.BOTH, handover, handover),) if handover else ()
    return measure(subject, (timeline(Phase.PREFILL, 2.0, 2.0), *between, timeline(Phase.DECODE, 0.05, 0.04)))


def test_phases_carry_their_metric_and_the_makespan_beside_it() -> None:
    found = metrics(10)
    assert (found.prefill.seconds, found.prefill.latency_seconds) == (2.0, 2.0)
    assert (found.decode.seconds, found.decode.latency_seconds) == (0.04, 0.05)
    assert found.prefill.micro_batches == 4
    assert found.prefill.bound == "memory"


def test_throughput_of_a_static_batch() -> None:
    """10 tokens: 2 s + 0.05 s + 8 x 0.04 s = 2.37 s for 32 requests."""
    rates = metrics(10).throughput
    assert rates.requests_per_second == pytest.approx(32 / 2.37)
    assert rates.input_tokens_per_second == pytest.approx(32 * 1000 / 2.37)
    assert rates.output_tokens_per_second == pytest.approx(32 * 10 / 2.37)
    assert rates.total_tokens_per_second == pytest.approx(32 * 1010 / 2.37)
    assert rates.limited_by == "both"


def test_one_output_token_comes_from_the_prefill() -> None:
    assert metrics(1).throughput.output_tokens_per_second == pytest.approx(32 / 2)


def test_two_output_tokens_take_one_step_from_an_empty_pipeline() -> None:
    assert metrics(2).throughput.output_tokens_per_second == pytest.approx(64 / 2.05)


def test_each_phase_alone() -> None:
    rates = metrics(10).throughput
    assert rates.prefill_tokens_per_second == pytest.approx(16_000)
    assert rates.decode_tokens_per_second == pytest.approx(32 / 0.04)


@pytest.mark.parametrize(
    ("output", "handover", "limit", "requests"),
    [
        (10, 0.1, "prefill", 32 / 2),  # decode: 9 x 0.04 = 0.36 s a batch
        (101, 0.1, "decode", 32 / 4),  # decode: 100 x 0.04 = 4 s a batch
        (10, 3.0, "handover", 32 / 3),
        (1, 0.1, "prefill", 32 / 2),
    ],
)
def test_pools_of_their_own_run_at_the_rate_of_the_slower(
    output: int, handover: float, limit: str, requests: float
) -> None:
    found = metrics(output, handover=handover)
    assert found.throughput.limited_by == limit
    assert found.throughput.requests_per_second == pytest.approx(requests)
    assert found.phases.handover_seconds == pytest.approx(handover)


def test_the_handover_is_not_part_of_the_first_token() -> None:
    assert metrics(10, handover=3.0).prefill.seconds == 2.0


def test_tokens_of_no_stated_kind_are_all_tokens() -> None:
    rates = metrics(10).throughput
    assert rates.tokens_per_second("") == rates.total_tokens_per_second
    assert rates.tokens_per_second("output") == rates.output_tokens_per_second
