"""Whatever the skew, every token is computed by as many experts as it chose, and none by more."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.catalog.model import Experts
from dagc.degrees import AxisKind
from dagc.lower.routing import (
    ExpertChoice,
    chances_by_popularity,
    popularity_ranks,
    route_across,
    route_inside,
    slot_chances,
)
from dagc.plan.layout import Factor, Layout
from dagc.plan.workload import Workload

EXPONENTS = st.floats(0, 50)
SHAPES = st.tuples(st.integers(1, 96), st.integers(1, 8), st.integers(0, 12)).map(
    lambda drawn: (Experts(drawn[0], min(drawn[1], drawn[0]), 32), drawn[2])
)
"""Experts of a layer, and redundant ones."""


@st.composite
def layouts(draw: st.DrawFn, slots: int) -> Layout:
    """A layout of experts in which each rank has a slot, its factors in some order."""
    ep = draw(st.integers(1, min(slots, 12)))
    factors = [Factor(AxisKind.DP, draw(st.integers(1, 3))), Factor(AxisKind.EP, ep), Factor(AxisKind.TP, 2)]
    return Layout(tuple(draw(st.permutations(factors))))


def choice_of(experts: Experts, redundant: int, exponent: float, layers: int) -> ExpertChoice:
    """Skewed routing of the first layers of a model."""
    workload = Workload(1, 1, 1, routing="zipf", zipf_exponent=exponent)
    order = popularity_ranks(experts.count, layers, 0)
    return ExpertChoice(experts, redundant, slot_chances(experts, redundant, order, workload))


@given(st.integers(1, 300), st.integers(1, 8), EXPONENTS)
def test_chances_are_shares_of_the_choices(count: int, top: int, exponent: float) -> None:
    chances = chances_by_popularity(count, min(top, count), exponent)
    assert abs(chances.sum() - min(top, count)) < 1e-9
    assert np.all((chances >= 0) & (chances <= 1 + 1e-12))
    assert np.all(np.diff(chances) <= 1e-12)


@settings(deadline=None)
@given(SHAPES, EXPONENTS, st.integers(1, 4), st.data())
def test_ranks_compute_tokens_times_top(
    shape: tuple[Experts, int], exponent: float, layers: int, data: st.DataObject
) -> None:
    experts, redundant = shape
    layout = data.draw(layouts(experts.count + redundant))
    choice = choice_of(experts, redundant, exponent, layers)
    held = np.array(data.draw(st.lists(st.integers(0, 50), min_size=layout.size, max_size=layout.size)), dtype=float)
    routing = route_inside(held, 1, choice, layout)
    computed = np.broadcast_to(routing.received, (layers, layout.size)).sum(axis=1) / layout.tp
    assert np.allclose(computed, held.sum() * experts.top)
    hit = np.broadcast_to(routing.hit, (layers, layout.size))
    slots = -(-(experts.count + redundant) // layout.ep)
    assert np.all((hit >= 0) & (hit <= slots + 1e-9))
    # An expert that has a token has at least one: no more are hit than token-expert pairs are computed.
    assert np.all(hit <= np.broadcast_to(routing.received, hit.shape) + 1e-9)


@settings(deadline=None)
@given(SHAPES, EXPONENTS, st.integers(0, 5000), st.data())
def test_a_pool_of_experts_computes_tokens_times_top(
    shape: tuple[Experts, int], exponent: float, distinct: int, data: st.DataObject
) -> None:
    experts, redundant = shape
    layout = data.draw(layouts(experts.count + redundant))
    routing = route_across(np.ones(1), 1, float(distinct), choice_of(experts, redundant, exponent, 3), layout)
    computed = np.broadcast_to(routing.received, (3, layout.size)).sum(axis=1) / layout.tp
    assert np.allclose(computed, distinct * experts.top)


@settings(deadline=None)
@given(SHAPES, st.data())
def test_exponent_nought_is_uniform_routing(shape: tuple[Experts, int], data: st.DataObject) -> None:
    experts, _ = shape
    layout = data.draw(layouts(experts.count))
    held = np.array(data.draw(st.lists(st.integers(0, 50), min_size=layout.size, max_size=layout.size)), dtype=float)
    skewed = route_inside(held, 1, choice_of(experts, 0, 0.0, 2), layout)
    uniform = route_inside(held, 1, ExpertChoice(experts, 0), layout)
    for one, other in ((skewed.received, uniform.received), (skewed.hit, uniform.hit), (skewed.sent, uniform.sent)):
        assert np.allclose(np.broadcast_to(one, (2, layout.size)), np.broadcast_to(other, (2, layout.size)))
