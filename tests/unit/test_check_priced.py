"""The priced rules: which code, where it points, and the numbers it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.model import Experts
from dagc.check.priced import check_priced
from dagc.cost.memory import MemoryPart, PoolMemory
from dagc.diag.diagnostic import Diagnostic, Severity
from dagc.driver import check as driver
from dagc.plan.plan import Plan
from dagc.results.assess import assess
from dagc.source import Source
from tests.unit.results_plans import SHAPED, UNSHAPED, plan


def memory(weights: float, cache: float, activations: float = 0.0) -> tuple[PoolMemory, ...]:
    """One pool of two stages of four ranks on a 64 GB device; the second stage holds half of the first."""
    parts = {MemoryPart.WEIGHTS: weights, MemoryPart.KV_CACHE: cache, MemoryPart.ACTIVATIONS: activations}
    held = {part: np.array([[size], [size / 2]]) for part, size in parts.items()}
    ranks = (np.arange(4), np.arange(4, 8))
    return (PoolMemory("main", "gpu-64gb", 64e9, 4, 1, ranks, held, {}, {}, np.zeros((2, 1)), 0.0, 16),)


def check(subject: Plan, held: tuple[PoolMemory, ...] | None = None) -> tuple[Diagnostic, ...]:
    return check_priced(subject, assess(subject, held, None))


def only(found: tuple[Diagnostic, ...], code: str) -> Diagnostic:
    assert [d.code.code for d in found] == [code]
    return found[0]


def test_a_clean_plan_gives_nothing() -> None:
    text = "require { gpus <= 64    memory <= 64 GB }\nclaims main { gpus 64 }"
    assert check(plan(text), memory(20e9, 10e9)) == ()


def test_memory_over_the_device_shows_parts_and_ways_out() -> None:
    """50 + 30 + 1 = 81 GB on 64: 17 GB over capacity.

    Weights and cache must shrink to 80 / (80 - 17) = 1.27 of themselves: from 2 stages to 3.
    """
    found = only(check(plan("workload { batch 32 }", stages=2), memory(50e9, 30e9, 1e9)), "M101")
    assert found.span is not None and found.span.text == "ep 16 < tp 4 >"
    assert "81 GB on rank 0" in found.message
    assert "17 GB over capacity" in found.label
    assert [note.split(":")[0] for note in found.notes] == ["weights", "KV cache", "activations"]
    assert "at least 3 stages" in found.help[0]


def test_the_batch_that_is_offered_fits_and_one_more_does_not() -> None:
    def helps(batch: int) -> list[str]:
        text = f"model mixtral-8x7b\ncluster h100-sxm x 2\nworkload {{ batch {batch} prompt 1024 output 128 }}\ntp 2\n"
        return [
            line for d in driver.check(Source("p.moe", text)).diagnostics if d.code.code == "M101" for line in d.help
        ]

    (offer,) = (line for line in helps(4000) if "a batch of" in line)
    batch = int(offer.split()[4])
    assert helps(batch) == []
    assert helps(batch + 1) != []


def test_a_requirement_no_lower_than_the_device_is_the_same_cause() -> None:
    only(check(plan("require { memory <= 64 GB }"), memory(50e9, 30e9)), "M101")


def test_a_requirement_below_the_device_is_its_own_cause() -> None:
    found = only(check(plan("require { memory <= 24 GB }"), memory(20e9, 10e9)), "R101")
    assert found.span is not None and found.span.text == "memory <= 24 GB"
    assert "it is 30 GB" in found.message


@pytest.mark.parametrize(("weights", "codes"), [(57e9, []), (58e9, ["W901"]), (64e9, ["W901"]), (65e9, ["M101"])])
def test_advice_begins_at_nine_tenths(weights: float, codes: list[str]) -> None:
    """90 % of 64 GB are 57.6 GB."""
    found = check(plan(), memory(weights, 0.0))
    assert [d.code.code for d in found] == codes
    assert all(d.severity is Severity.WARNING for d in found if d.code.code == "W901")


def test_a_claimed_memory_is_the_fullest_ranks() -> None:
    """30 GB on a rank of the first stage, 15 GB on one of the second: 4 × 30 + 4 × 15 = 180 GB in all."""
    right = plan("claims main { memory 30 GB\n memory 46.9 %\n memory_total 180 GB }")
    assert check(right, memory(20e9, 10e9)) == ()
    found = only(check(plan("claims main { memory 22.5 GB }"), memory(20e9, 10e9)), "C101")
    assert found.span is not None and found.span.text == "memory 22.5 GB"
    assert "30 GB" in found.message


def test_a_false_count_is_fixed_by_the_right_one() -> None:
    found = only(check(plan("claims main { gpus 128 }", naive=128)), "C101")
    (edit,) = found.fixes[0].edits
    assert (edit.span.text, edit.replacement) == ("128", "64")
    fixed = edit.span.source.text.replace("gpus 128", "gpus 64").removesuffix("\nstrategy main = ep 16 < tp 4 >\n")
    assert check(plan(fixed)) == ()


def test_a_reduction_of_the_experts_is_offered_as_such() -> None:
    """16 experts / 2 visited = 8."""
    found = only(check(plan("claims main { compute_reduction 8 x }")), "C101")
    assert "it is below 8 x" in found.message
    assert found.help == ("claim `expert_compute_reduction 8 x` instead",)
    assert only(check(plan("claims main { compute_reduction 9 x }")), "C101").help == ()


def test_claims_that_disagree_show_the_arithmetic() -> None:
    text = "claims main { throughput 150 tokens/ms per gpu\n throughput 9700 tokens/ms }"
    found = only(check(plan(text)), "C201")
    assert "150 tokens/ms per gpu × 64 GPUs = 9600 tokens/ms, not 9700 tokens/ms" in found.message


def test_a_wrong_margin_points_at_the_margin() -> None:
    found = only(check(plan("require { latency <= 50 ms }\nclaims main { latency 35 ms margin 1.5 x }")), "C202")
    assert found.span is not None and found.span.text == "1.5 x"
    assert "50 ms / 35 ms = 1.43 x" in found.message


def test_a_total_ticked_against_a_rate_per_gpu() -> None:
    """640 tokens/ms / 64 GPUs = 10 tokens/ms a GPU."""
    text = "require { throughput >= 100 tokens/ms per gpu }\nclaims main { throughput 640 tokens/ms }"
    found = only(check(plan(text)), "C203")
    assert found.label == "10 tokens/ms per gpu"
    assert found.labels[0].span.text == "throughput >= 100 tokens/ms per gpu"


def test_no_measurement() -> None:
    only(check(plan("claims main { ttft 0.0 s }")), "C401")


def test_a_zero_that_is_exact_may_be_claimed() -> None:
    assert check(plan("claims main { headroom 0 % }"), memory(64e9, 0.0))[0].code.code == "W901"
    assert [d.code.code for d in check(plan("claims main { headroom 0 % }"), memory(32e9, 0.0))] == ["C401"]


def declared(text: str, value: float, ffn: int = 6144) -> Plan:
    """16 layers × 16 experts × 3 × 2048 × 6144 = 9.66 B in experts, 0.53 B in the vocabulary, 0.17 B in attention."""
    source = Source("m", text)
    model = replace(
        SHAPED,
        experts=Experts(16, 2, ffn),
        declared_parameters=value,
        spans={"parameters": source.span(0, len(text))},
    )
    return plan(model=model)


@pytest.mark.parametrize(
    ("text", "value", "codes"),
    [
        ("parameters 10.4 B", 10.4e9, []),
        ("parameters 10 B", 10e9, []),  # 10.36 B within one unit of its last digit
        ("parameters 10.0 B", 10.0e9, ["C301"]),
        ("parameters 30 B", 30e9, ["C301"]),
        ("parameters 0.53 B", 0.53e9, ["C301"]),
    ],
)
def test_a_stated_total_is_held_against_the_shapes(text: str, value: float, codes: list[str]) -> None:
    found = check(declared(text, value))
    assert [d.code.code for d in found] == codes
    assert all(d.span is not None and d.span.text == text for d in found)


def test_without_shapes_nothing_disagrees() -> None:
    assert check(plan(model=UNSHAPED)) == ()
