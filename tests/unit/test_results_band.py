"""The band of a phase from the errors of its nodes, against sums by hand."""

from __future__ import annotations

from dataclasses import replace
from math import hypot

import numpy as np
import pytest

from dagc.graph.priced import Bound, NodeCost, PricedPhase
from dagc.lower.lower import lower
from dagc.results.metrics import UNFITTED, WHOLE, band, errors
from tests.unit.lowering_plans import DENSE, layout, plan, service


def priced(error_of) -> PricedPhase:
    """A dense model's decode step in which every node takes a microsecond."""
    graph = lower(plan(service(layout(tp=1), None), model=DENSE)).decode
    costs = tuple(tuple(_cost(node, error_of) for node in one.nodes) for one in graph.templates)
    return PricedPhase(graph, costs)


def _cost(node, error_of) -> NodeCost:
    return NodeCost(np.array([10**6]), Bound.NONE, str, "fit", error_of(node))


def test_one_formula_errs_in_one_direction() -> None:
    """All of one kind and source: nothing evens out."""
    one = priced(lambda _: 0.1)
    graph = one.graph
    op = graph.templates[0].nodes[0].op
    same = tuple(replace(t, nodes=tuple(replace(n, op=op) for n in t.nodes)) for t in graph.templates)
    assert band(PricedPhase(replace(graph, templates=same), one.costs)) == pytest.approx(hypot(0.1, WHOLE))


def test_formulas_that_know_nothing_of_each_other_add_as_squares() -> None:
    """Times by kind t_k with error e: e · sqrt(Σ t_k²) / Σ t_k, and beside it the error of the whole."""
    one = priced(lambda _: 0.2)
    times: dict[str, int] = {}
    for _, _, _, segment in one.graph.segments():
        for node in one.graph.templates[segment.template].nodes:
            times[node.op.name] = times.get(node.op.name, 0) + segment.count
    expected = 0.2 * sum(t * t for t in times.values()) ** 0.5 / sum(times.values())
    assert band(one) == pytest.approx(hypot(expected, WHOLE))
    assert len(times) > 4


def test_what_was_never_fitted_has_a_stated_error() -> None:
    assert band(priced(lambda _: None)) == pytest.approx(band(priced(lambda _: UNFITTED)))


def test_no_time_has_no_error() -> None:
    graph = priced(lambda _: 0.1).graph
    empty = replace(graph, programs=((),))
    assert band(PricedPhase(empty, ())) == 0.0


def test_the_share_outside_of_measurements_is_one_of_time() -> None:
    """Every node takes a microsecond; those of the attention core are outside: as many as they are of all."""
    one = priced(lambda _: 0.1)
    costs = tuple(
        tuple(
            replace(cost, extrapolated=node.op.name == "attention_core") for node, cost in zip(t.nodes, c, strict=True)
        )
        for t, c in zip(one.graph.templates, one.costs, strict=True)
    )
    counted = [
        (node.op.name, segment.count)
        for _, _, _, segment in one.graph.segments()
        for node in one.graph.templates[segment.template].nodes
    ]
    cores = sum(count for name, count in counted if name == "attention_core")
    assert errors(PricedPhase(one.graph, costs)).extrapolated == pytest.approx(
        cores / sum(count for _, count in counted)
    )
    assert errors(one).extrapolated == 0.0
