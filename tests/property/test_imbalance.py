"""The fullest rank of an expert group, beside tokens that are drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.catalog.model import Experts
from dagc.degrees import AxisKind
from dagc.lower.imbalance import extremes, fullest_hit, fullest_rows, largest_of_different
from dagc.lower.routing import ExpertChoice, Routing, expected_distinct, popularity_ranks, route_inside, slot_chances
from dagc.plan.layout import Factor, Layout
from dagc.plan.workload import Workload

DRAWN = [(8, 2, 2), (8, 2, 4), (64, 6, 8), (128, 8, 4), (256, 8, 8), (256, 8, 32), (512, 10, 16)]
"""Experts of a layer, choices of a token, ranks."""


def routed(tokens: float, experts: int, top: int, ranks: int, exponent: float | None = None) -> Routing:
    """Tokens on a group of ranks."""
    layout = Layout((Factor(AxisKind.EP, ranks),))
    some = Experts(experts, top, 32)
    choice = ExpertChoice(some, 0)
    if exponent is not None:
        workload = Workload(1, 1, 1, routing="zipf", zipf_exponent=exponent)
        choice = ExpertChoice(some, 0, slot_chances(some, 0, popularity_ranks(experts, 1, 0), workload))
    return route_inside(np.array([tokens / ranks]), 1, choice, layout)


@pytest.mark.parametrize(("experts", "top", "ranks"), DRAWN)
@pytest.mark.parametrize("tokens", [4, 32, 256])
def test_fullest_rank_of_drawn_tokens(experts: int, top: int, ranks: int, tokens: int) -> None:
    if tokens * top < ranks:
        pytest.skip("where most ranks have nothing the largest is no normal number")
    drawn = np.random.default_rng(7)
    draws = max(60, 20_000 // (tokens * top))
    chosen = drawn.random((draws, tokens, experts)).argpartition(top - 1, axis=2)[:, :, :top]
    counts = np.stack([np.bincount(one.ravel(), minlength=experts) for one in chosen]).reshape(draws, ranks, -1)
    rows, hit = counts.sum(axis=2).max(axis=1), (counts > 0).sum(axis=2).max(axis=1)
    routing = routed(tokens, experts, top, ranks)
    for load, seen in zip(routing.fullest, (rows, hit), strict=True):
        chance = 3 * seen.std() / np.sqrt(draws)
        assert load.max() == pytest.approx(seen.mean(), rel=0.05, abs=chance)


def test_figures_of_the_multinomial() -> None:
    """32 pairs on 4 ranks: 8 on each, and 10.8 on the fullest (drawn 10^6 times, 1.35 x); 512: 1.08 x."""
    assert fullest_rows(np.array([8.0]), 4, 1, 1000).item() / 8 == pytest.approx(1.35, abs=0.02)
    assert fullest_rows(np.array([128.0]), 4, 1, 1000).item() / 128 == pytest.approx(1.09, abs=0.01)


def test_extremes_of_normal_numbers() -> None:
    """1/sqrt(pi) of two, 3/(2 sqrt(pi)) of three: David and Nagaraja, section 3.2; 1.4236 of eight (its table)."""
    found = [extremes(count).mean for count in (1, 2, 3, 8)]
    assert found == pytest.approx([0.0, np.pi**-0.5, 1.5 * np.pi**-0.5, 1.42360], abs=1e-4)
    assert extremes(2).square == pytest.approx(1.0, abs=1e-4)


@settings(deadline=None)
@given(st.sampled_from(DRAWN), st.floats(1.0, 1e5), st.floats(1.0, 10.0))
def test_imbalance_falls_with_tokens(shape: tuple[int, int, int], tokens: float, times: float) -> None:
    experts, top, ranks = shape
    few, many = (routed(each, experts, top, ranks) for each in (tokens, tokens * times))
    for one, other, mean, more in zip(
        few.fullest, many.fullest, (few.received, few.hit), (many.received, many.hit), strict=True
    ):
        assert (one / mean).max() >= 1.0
        assert (other / more).max() <= (one / mean).max() * (1 + 1e-9)
        assert other.max() >= one.max() * (1 - 1e-9)
    assert np.all(many.fullest[1] <= min(experts / ranks, tokens * times * top) + 1e-9)


@given(st.integers(1, 256), st.floats(0, 1e4), st.floats(0, 3))
def test_one_rank_has_what_is_expected(experts: int, tokens: float, exponent: float) -> None:
    for routing in (routed(tokens, experts, 1, 1), routed(tokens, experts, 1, 1, exponent)):
        assert np.array_equal(routing.fullest[0], routing.received)
        assert np.array_equal(routing.fullest[1], routing.hit)


@pytest.mark.parametrize(("experts", "top", "ranks"), DRAWN)
def test_skew_of_nought_is_near_uniform_routing(experts: int, top: int, ranks: int) -> None:
    for tokens in (ranks, 16 * ranks):
        uniform, skewed = routed(tokens, experts, top, ranks), routed(tokens, experts, top, ranks, 0.0)
        for one, other in zip(uniform.fullest, skewed.fullest, strict=True):
            assert other.max() == pytest.approx(one.max(), rel=0.08)


def test_a_rank_that_is_far_ahead_is_the_fullest() -> None:
    found = largest_of_different(np.array([[1000.0, 10.0, 10.0]]), np.array([[1000.0, 10.0, 10.0]]))
    assert found.item() == pytest.approx(1000.0, rel=1e-3)


def test_all_experts_chosen_leave_nothing_to_chance() -> None:
    assert fullest_rows(np.array([80.0]), 4, 8, 8).item() == 80.0
    chance = expected_distinct(8, 8, np.array([10.0])) / 8
    assert fullest_hit(2.0, chance, np.array([20.0]), 4).item() == 2.0
