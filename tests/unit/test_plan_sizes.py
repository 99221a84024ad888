"""Sizes, derivations, domains and ranks, against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dagc.degrees import AxisKind
from dagc.plan.deployment import Deployment, Phase, Role
from dagc.plan.layout import Layout
from dagc.plan.resolve import resolve
from dagc.plan.scopes import annotate
from tests.unit.planning import codes, deployment, judged, strategy

# The strategies of five deployment reports, with the sizes that their structure has.
REPORTS = [
    ("pp 16 < ep 16 >", 256, 256),  # 16 stages × 16
    ("dp 2 < pp 4 < ep 16 ; tp 2 > >", 128, 256),  # 2 × 4 × lcm(16, 2); the product is 2·4·16·2
    ("pp 8 < ep 8 >", 64, 64),
    ("pp 4 < ep 16 >", 64, 64),
    ("ep 16 < tp 4 >", 64, 64),  # tp nested in each expert multiplies
    ("ep 16 ; tp 4", 16, 64),  # shared: lcm(16, 4)
    ("ep 16", 16, 16),
    ("pp 2 < tp 2 > | ep 4", 8, 16),  # 2 × 2 + 4
    ("dp 2 < pp 2 < tp 2 > | ep 4 >", 16, 32),
    ("dp 2 < pp 2 < ep 64 ; tp 8 > >", 256, 2048),
    ("pp 4 < ep 16 ; tp 2 >", 64, 128),
    ("pp 2 < tp 2 | ep 4 >", 12, 16),  # 2 × (2 + 4)
    ("ep 6 ; tp 4", 12, 24),  # lcm(6, 4)
]


@pytest.mark.parametrize(("text", "gpus", "product"), REPORTS)
def test_sizes_of_the_reports(text: str, gpus: int, product: int) -> None:
    placed = deployment(text)
    assert (placed.gpus, placed.naive_product) == (gpus, product)
    assert placed.derivation[-1].endswith(f"{gpus} GPUs")


def test_a_derivation_is_a_proof_from_the_inside_out() -> None:
    assert deployment("dp 2 < pp 4 [micro 8] < ep 16 ; tp 2 > >").derivation == (
        "`ep 16 ; tp 2`: both on the same GPUs: lcm(16, 2) = 16",
        "`pp 4 < … >`: 4 × 16 = 64",
        "`dp 2 < … >`: 2 × 64 = 128 GPUs",
    )
    assert deployment("pp 2 < tp 2 > | ep 4").derivation == (
        "`pp 2 < tp 2 >`: 2 × 2 = 4",
        "`pp 2 < tp 2 > | ep 4`: each on its own GPUs: 4 + 4 = 8 GPUs",
    )
    assert deployment("ep 16").derivation == ("`ep 16`: 16 GPUs",)


def test_a_remainder_of_a_fold_is_said() -> None:
    assert "copies" in deployment("ep 6 ; tp 4").derivation[0]
    assert "copies" not in deployment("ep 8 ; tp 4").derivation[0]


def factors(layout: Layout | None) -> list[tuple[str, int, bool]]:
    """Kind, degree and whether it is implied, outermost first."""
    assert layout is not None
    return [(factor.axis.value, factor.degree, factor.implied) for factor in layout.factors]


DOMAINS = [
    # An unclaimed domain takes the axes that apply to it; what is left of W is its dp.
    ("ep 16 < tp 4 >", [("dp", 16, True), ("tp", 4, False)], [("ep", 16, False), ("tp", 4, False)]),
    ("ep 16", [("dp", 16, True)], [("ep", 16, False)]),
    ("tp 8", [("tp", 8, False)], [("tp", 8, False)]),
    ("cp 2 < tp 4 >", [("cp", 2, False), ("tp", 4, False)], [("dp", 2, True), ("tp", 4, False)]),
    ("attn < dp 8 >", [("dp", 8, False)], [("dp", 8, True)]),
    ("moe < ep 4 < tp 2 > >", [("dp", 4, True), ("tp", 2, False)], [("ep", 4, False), ("tp", 2, False)]),
    ("ep 16 ; tp 2", [("dp", 8, True), ("tp", 2, False)], [("ep", 16, False)]),
    ("tp 2 ; ep 16", [("dp", 8, True), ("tp", 2, False)], [("ep", 16, False)]),
    ("ep 6 ; tp 4", [("dp", 3, True), ("tp", 4, False)], [("dp", 2, True), ("ep", 6, False)]),
    ("dp 4 ; ep 8", [("dp", 2, True), ("dp", 4, False)], [("ep", 8, False)]),
    ("moe < tp 4 > ; tp 2", [("dp", 2, True), ("tp", 2, False)], [("tp", 4, False)]),
    ("dp 4", [], []),
    ("pp 4", [], []),
]


@pytest.mark.parametrize(("text", "attention", "experts"), DOMAINS)
def test_domains(text: str, attention: list[tuple[str, int, bool]], experts: list[tuple[str, int, bool]]) -> None:
    (pool,) = deployment(text).services[0].pools
    assert (pool.name, pool.role) == ("main", Role.ALL)
    assert factors(pool.attention) == attention
    assert factors(pool.experts) == experts


def test_an_implied_dp_is_outermost() -> None:
    """`ep 6 ; tp 4`: 12 ranks, expert groups 0-5 and 6-11, attention groups of 4."""
    (pool,) = deployment("ep 6 ; tp 4").services[0].pools
    assert pool.attention is not None and pool.experts is not None
    assert pool.experts.groups((AxisKind.EP,)).tolist() == [list(range(6)), list(range(6, 12))]
    assert pool.attention.groups((AxisKind.TP,)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def ranks(placed: Deployment) -> dict[str, list[list[int]]]:
    """Global ranks of each stage of every replica, by pool."""
    return {
        pool.name: [
            placed.global_ranks(service, pool, stage, replica).tolist()
            for replica in range(placed.replicas * service.replicas)
            for stage in range(pool.stages)
        ]
        for service in placed.services
        for pool in service.pools
    }


def test_a_pool_of_experts_serves_all_stages_of_its_replica() -> None:
    assert ranks(deployment("pp 2 < tp 2 > | ep 4")) == {"attention": [[0, 1], [2, 3]], "experts": [[4, 5, 6, 7]]}


def test_pools_are_numbered_as_written_and_listed_attention_first() -> None:
    placed = deployment("ep 4 | pp 2 < tp 2 >")
    assert [pool.name for pool in placed.services[0].pools] == ["attention", "experts"]
    assert ranks(placed) == {"attention": [[4, 5], [6, 7]], "experts": [[0, 1, 2, 3]]}


def test_pools_of_a_stage_stand_side_by_side() -> None:
    expected = {"attention": [[0, 1], [6, 7]], "experts": [[2, 3, 4, 5], [8, 9, 10, 11]]}
    assert ranks(deployment("pp 2 < tp 2 | ep 4 >")) == expected


def test_replicas_stand_around_pools() -> None:
    expected = {"attention": [[0, 1], [2, 3], [8, 9], [10, 11]], "experts": [[4, 5, 6, 7], [12, 13, 14, 15]]}
    assert ranks(deployment("dp 2 < pp 2 < tp 2 > | ep 4 >")) == expected


def test_phases_have_their_own_replicas_pools_and_devices() -> None:
    placed = deployment("decode [device h20-sxm] < tp 2 | ep 2 > | prefill < dp 3 < ep 2 > >")
    prefill, decode = placed.services
    assert (prefill.phase, prefill.replicas, prefill.first_rank) == (Phase.PREFILL, 3, 4)
    assert (decode.phase, decode.replicas, decode.first_rank) == (Phase.DECODE, 1, 0)
    assert ranks(placed) == {
        "prefill": [[4, 5], [6, 7], [8, 9]],
        "decode.attention": [[0, 1]],
        "decode.experts": [[2, 3]],
    }
    assert [pool.device for pool in decode.pools] == ["h20-sxm", "h20-sxm"]
    assert [pool.device for pool in prefill.pools] == [None]


def test_a_dp_around_both_phases_copies_the_pair() -> None:
    placed = deployment("dp 2 < prefill < dp 3 < ep 2 > > | decode < ep 4 > >")
    assert (placed.replicas, placed.gpus) == (2, 20)  # 2 × (3 × 2 + 4)
    assert ranks(placed)["decode"] == [[6, 7, 8, 9], [16, 17, 18, 19]]


def test_a_dp_in_an_attention_pool_is_attentions() -> None:
    attention, experts = deployment("dp 2 < tp 2 > | ep 4").services[0].pools
    assert factors(attention.attention) == [("dp", 2, False), ("tp", 2, False)]
    assert attention.experts is None and experts.attention is None
    assert factors(experts.experts) == [("ep", 4, False)]


def test_options_are_read() -> None:
    options = (
        deployment(
            "pp 2 [micro 8, layers 9 7] < ep 16 [redundant 2, overlap 2, shared replicated] ; tp 4 [sp, dcp 2] >"
        )
        .services[0]
        .options
    )
    assert (options.micro, options.layers, options.redundant, options.overlap) == (8, (9, 7), 2, 2)
    assert (options.sequence_parallel, options.decode_context, options.shared_replicated) == (True, 2, True)


def test_options_of_one_phase_are_not_those_of_the_other() -> None:
    prefill, decode = deployment("prefill < pp 2 [micro 8] > | decode < pp 2 >").services
    assert (prefill.options.micro, decode.options.micro) == (8, None)


@pytest.mark.parametrize("text", ["pp 4 < ep 0 >", "ep 0"])
def test_a_degree_below_one_is_one_error(text: str) -> None:
    assert resolve(annotate(strategy(text)))[0] is None
    assert codes(judged(text)) == ["D101"]


def test_a_size_out_of_reach_is_one_error_and_makes_nothing() -> None:
    placed, problems = resolve(annotate(strategy("ep 999999999999")))
    assert placed is None
    assert codes(problems) == ["D102"]
    assert "999999999999" in problems[0].message


def test_the_largest_size_is_still_placed() -> None:
    assert deployment(f"dp {2**10} < ep {2**10} >").gpus == 2**20
    assert codes(judged(f"dp {2**10} < ep {2**10 + 1} >")) == ["D102"]


def test_a_pool_is_numbered_without_a_loop() -> None:
    placed = deployment("pp 4 < ep 16 ; tp 2 >")
    (pool,) = placed.services[0].pools
    assert np.array_equal(placed.global_ranks(placed.services[0], pool, 3), np.arange(48, 64))
