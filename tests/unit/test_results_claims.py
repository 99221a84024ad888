"""Claims judged by arithmetic alone: the models here have no shapes, so nothing comes from a cost model."""

from __future__ import annotations

import re

import pytest

from dagc.catalog.model import ModelSpec
from dagc.degrees import AxisKind
from dagc.metrics import CLAIMABLE
from dagc.plan.plan import Plan
from dagc.results.assess import assess
from dagc.results.assessment import Basis, Verdict
from dagc.units import Dimension
from tests.unit.results_plans import SHAPED, UNSHAPED, plan

FIGURES = {
    Dimension.BYTES: "1 GB",
    Dimension.SECONDS: "1 s",
    Dimension.SHARE: "10 %",
    Dimension.TOKEN_RATE: "1 tokens/ms",
    Dimension.REQUEST_RATE: "1 requests/s",
    Dimension.FLOP_RATE: "1 TFLOP/s",
    Dimension.RATIO: "2 x",
    Dimension.COUNT: "1",
}
"""A figure of each dimension, as a plan states it."""


def verdicts(subject: Plan) -> tuple[Verdict, ...]:
    return assess(subject, None, None).claims


def verdict(subject: Plan, basis: Basis, name: str) -> Verdict:
    found = [v for v in verdicts(subject) if v.basis is basis and v.name == name]
    assert len(found) == 1, verdicts(subject)
    return found[0]


@pytest.mark.parametrize("name", CLAIMABLE)
def test_every_metric_of_the_language_is_judged_by_something(name: str) -> None:
    """It has a value, or the facts that it lacks are named."""
    figure = FIGURES[CLAIMABLE[name].dimensions[0]]
    actual = verdicts(plan(f"claims main {{ {name} {figure} }}"))[0].actual
    assert actual.value is not None or re.search("undetermined without|not stated|has no load", actual.reason)


@pytest.mark.parametrize(
    ("per_gpu", "gpus", "total", "ok"),
    [
        # 120 x 256 = 30,720; 190 x 128 = 24,320; 150 x 64 = 9,600
        (120, 256, 30720, True),
        (190, 128, 24320, True),
        (150, 64, 9600, True),
        # 150 x 64 is not 9,700
        (150, 64, 9700, False),
    ],
)
def test_a_total_throughput_is_the_one_per_gpu_times_the_gpus(per_gpu: int, gpus: int, total: int, ok: bool) -> None:
    text = f"claims main {{ gpus {gpus}\n throughput {per_gpu} tokens/ms per gpu\n throughput {total} tokens/ms }}"
    assert verdict(plan(text), Basis.CLAIMS, "throughput").ok is ok


def test_memory_of_all_gpus_is_shared_by_them() -> None:
    """73.69 GB / 64 = 1.1514 GB, which is 1.15 at three digits; 1.15 GB of 64 GB is 1.797 %, 1.8 at two."""
    text = "claims main { memory_total 73.69 GB\n memory 1.15 GB\n memory 1.8 % }"
    found = [v for v in verdicts(plan(text)) if v.basis is Basis.CLAIMS]
    assert [(v.claim.figure.text, v.ok) for v in found] == [("1.15 GB", True), ("1.8 %", True)]


def test_less_memory_than_the_mean_is_impossible_and_more_is_not() -> None:
    """73.69 GB / 64 = 1.15 GB is the mean; the fullest GPU holds at least that."""
    below = plan("claims main { memory_total 73.69 GB\n memory 1.05 GB }")
    above = plan("claims main { memory_total 73.69 GB\n memory 2 GB }")
    assert verdict(below, Basis.CLAIMS, "memory").ok is False
    assert verdict(above, Basis.CLAIMS, "memory").ok is True


def test_a_third_of_a_device_and_the_rest() -> None:
    """33 of 64 GB is 51.5625 %: 51.6 at three digits. 64 - 33 = 31 GB stay free, 48.4 %; 49 % is not that."""
    text = "claims main { memory 33 GB\n memory 51.6 %\n headroom 31 GB\n headroom 49 % }"
    found = [(v.claim.figure.text, v.ok) for v in verdicts(plan(text)) if v.basis is Basis.CLAIMS]
    assert found == [("51.6 %", True), ("31 GB", True), ("49 %", False)]


@pytest.mark.parametrize(
    ("claim", "ok"),
    [
        ("compute 15.36 PFLOP/s", True),  # 64 x 400 TFLOP/s x 60 % = 15,360 TFLOP/s
        ("compute 25.6 PFLOP/s", False),  # the peak, without the efficiency
        ("experts_active 12.5 %", True),  # 2 / 16
        ("expert_compute_reduction 8 x", True),  # 16 / 2
        ("compute_reduction 8 x", False),  # attention is not reduced
        ("compute_reduction 7 x", None),  # below 8; by how much depends on the shapes
        ("weights 20 GB", True),  # 10 B x 2 bytes
        ("weights 0.53 GB", False),
        ("experts_per_gpu 1", True),  # 16 experts / ep 16
        ("layers_per_stage 16", True),
        ("gpus 64", True),
        ("gpus 60", False),
    ],
)
def test_figures_of_structure_and_stated_facts(claim: str, ok: bool | None) -> None:
    found = verdicts(plan(f"claims main {{ {claim} }}"))
    assert [(v.basis, v.ok) for v in found] == [(Basis.STRUCTURE, ok)]


def test_divisions_of_experts_layers_and_sequences() -> None:
    """64 experts / ep 4 = 16 a GPU; 16 layers / 2 stages = 8; 128 sequences / 2 replicas = 64."""
    text = """workload { batch 128 }
    claims main { experts_per_gpu 16\n layers_per_stage 8\n sequences_per_replica 64 }"""
    model = ModelSpec("stated", layers=16, expert_count=64)
    subject = plan(text, layout=((AxisKind.EP, 4),), stages=2, replicas=2, model=model)
    assert [v.ok for v in verdicts(subject)] == [True, True, True]


def test_the_naive_product_is_named_as_what_it_is() -> None:
    subject = plan("claims main { gpus 2048 }", naive=2048)
    found = verdict(subject, Basis.STRUCTURE, "gpus")
    assert found.ok is False
    assert "product of all degrees" in found.actual.reason


def test_what_was_not_stated_is_named() -> None:
    subject = plan("claims main { weights 20 GB\n experts_active 12.5 % }", model=ModelSpec("unknown"))
    assert [(v.ok, v.actual.reason) for v in verdicts(subject)] == [
        (None, "not stated: parameters"),
        (None, "not stated: experts and their top"),
    ]


def test_the_cost_model_decides_nothing_without_shapes() -> None:
    found = verdict(plan("claims main { ttft < 10 s }"), Basis.MODEL, "ttft")
    assert found.ok is None
    assert "model hidden" in found.actual.reason


@pytest.mark.parametrize(
    ("requirement", "claim", "ok"),
    [
        # 640 tokens/ms over 64 GPUs are 10 a GPU
        ("throughput >= 100 tokens/ms per gpu", "throughput 640 tokens/ms", False),
        ("throughput >= 10 tokens/ms per gpu", "throughput 640 tokens/ms", True),
        ("throughput >= 100 tokens/ms per gpu", "throughput 120 tokens/ms per gpu", True),
        ("ttft <= 10 s", "ttft < 0.1 s", True),
        ("ttft <= 10 s", "ttft < 12 s", False),
        ("ttft < 10 s", "ttft < 10 s", True),
        ("ttft <= 10 s", "ttft > 5 s", False),  # which allows 20 s
        ("memory <= 64 GB", "memory 51.6 %", True),  # 33 GB
        ("memory <= 32 GB", "memory 51.6 %", False),
        ("tpot <= 50 ms", "latency 35 ms", True),
    ],
)
def test_a_claim_is_held_against_the_requirement_of_its_name(requirement: str, claim: str, ok: bool) -> None:
    text = f"require {{ {requirement} }}\nclaims main {{ {claim} }}"
    name = claim.split()[0]
    assert verdict(plan(text), Basis.REQUIREMENT, name).ok is ok


def test_tokens_of_another_kind_are_not_compared() -> None:
    text = "require { throughput >= 10 output tokens/s }\nclaims main { throughput 5 input tokens/s }"
    assert [v.basis for v in verdicts(plan(text))] == [Basis.MODEL]


@pytest.mark.parametrize(
    ("requirement", "claim", "ok"),
    [
        ("latency <= 50 ms", "latency 35 ms margin 1.43 x", True),  # 50 / 35 = 1.4286
        ("latency <= 50 ms", "latency 35 ms margin 1.5", False),
        ("throughput >= 20000 tokens/s", "throughput 28000 tokens/s margin 1.4 x", True),  # 28,000 / 20,000
        ("communication <= 20 %", "communication 3 % margin 6.7 x", True),  # 20 / 3 = 6.667
        ("communication <= 20 %", "communication 3 % margin 6.6 x", False),
        ("ttft <= 10 s", "ttft 0.1 s margin 100 x", True),
    ],
)
def test_a_margin_is_the_ratio_to_the_requirement(requirement: str, claim: str, ok: bool) -> None:
    text = f"require {{ {requirement} }}\nclaims main {{ {claim} }}"
    assert verdict(plan(text), Basis.MARGIN, claim.split()[0]).ok is ok


def test_a_margin_without_a_requirement_is_undetermined() -> None:
    assert verdict(plan("claims main { ttft 5 s margin 2 x }"), Basis.MARGIN, "ttft").ok is None


def test_a_figure_without_a_significant_digit_is_no_measurement() -> None:
    text = "require { ttft <= 10 s }\nclaims main { ttft 0.0 s margin 100 x }"
    found = verdicts(plan(text))
    assert [(v.basis, v.ok) for v in found] == [(Basis.DIGITS, False)]
    assert "100 x" in found[0].actual.reason


def test_claims_of_another_strategy_are_not_judged() -> None:
    assert verdicts(plan("claims other { gpus 3 }", model=UNSHAPED)) == ()


@pytest.mark.parametrize(
    ("claim", "ok"), [("6.16 x", True), ("6.2 x", True), ("8 x", False), ("6.3 x", False), ("5.9 x", False)]
)
def test_the_reduction_of_a_model_with_shapes(claim: str, ok: bool) -> None:
    """Matrices: experts 16 × 16 × 3 × 2048 × 6144 = 9,663,676,416, attention 16 × 10,485,760 = 167,772,160,
    router 16 × 2048 × 16 = 524,288, head 128256 × 2048 = 262,668,288: 10,094,641,152. A token passes an eighth of
    the experts' and all else: 1,638,924,288. The quotient is 6.159.
    """
    found = verdict(
        plan(f"claims main {{ compute_reduction {claim} }}", model=SHAPED), Basis.STRUCTURE, "compute_reduction"
    )
    assert found.ok is ok
    assert found.actual.text == "6.16 x"


def test_weights_follow_the_shapes_where_no_total_is_stated() -> None:
    """The matrices above, another 262,668,288 of the embedding and 33 norms of 2048: 10,357,377,024 × 2 bytes."""
    found = verdict(plan("claims main { weights 20.7 GB }", model=SHAPED), Basis.STRUCTURE, "weights")
    assert found.ok is True
    assert found.actual.value == 10_357_377_024 * 2
