"""Ranks that never meet, and the constants by which their times grow."""

from __future__ import annotations

import numpy as np
import pytest

from dagc.timeline.components import Components, components
from dagc.timeline.steps import all_steps
from dagc.timeline.tasks import template_tasks
from tests.property.timeline_graphs import collective, compute, phase, template

PAIRS, STRIDED, EVERYONE = [[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 1, 2, 3]]


def of(*groupings: list[list[int]], pool: str = "") -> Components:
    """Components of four ranks, unevenly busy, that exchange within these groups."""
    exchanges = [collective(2, groups, (number,)) for number, groups in enumerate(groupings)]
    built = phase([template(compute([5, 9, 4, 6]), *exchanges)], [[[(0, 1)]]], [0], width=4, pool=pool, pool_width=2)
    tasks = [template_tasks(*pair) for pair in zip(built.graph.templates, built.costs, strict=True)]
    return components(built.graph, all_steps(tasks, {}))


def given(*times: int | list[int]) -> list[int | np.ndarray]:
    return [time if isinstance(time, int) else np.array(time) for time in times]


@pytest.mark.parametrize(
    ("groupings", "label"),
    [([], [0, 1, 2, 3]), ([PAIRS], [0, 0, 1, 1]), ([STRIDED], [0, 1, 0, 1]), ([STRIDED, STRIDED], [0, 1, 0, 1])],
)
def test_ranks_that_a_chain_of_groups_joins_are_one_component(groupings: list, label: list[int]) -> None:
    found = of(*groupings).label
    assert found is not None
    assert found.tolist() == label


@pytest.mark.parametrize("groupings", [[PAIRS, STRIDED], [EVERYONE], [PAIRS, EVERYONE]])
def test_ranks_that_all_meet_are_one_component(groupings: list) -> None:
    assert of(*groupings).label is None


def test_ranks_of_stages_with_a_pool_are_one_component() -> None:
    assert of(PAIRS, pool="each").label is None


def test_a_shift_is_constant_in_each_component() -> None:
    apart = of(STRIDED)
    before = given([0, 1, 2, 3], [4, 4, 4, 4])
    shift = apart.shift(before, given([7, 6, 9, 8], [11, 9, 11, 9]))
    assert shift is not None
    assert np.array_equal(shift, [7, 5, 7, 5])
    assert apart.shift(before, given([7, 6, 9, 9], [11, 9, 11, 10])) is None
    assert apart.shift(before, given([7, 6, 9, 8], [11, 9, 11, 10])) is None


def test_a_shift_that_all_ranks_have_in_common_is_a_number() -> None:
    for found in (of(STRIDED), of(EVERYONE)):
        shift = found.shift(given([0, 1, 2, 3], 4), given([7, 8, 9, 10], 11))
        assert isinstance(shift, int)
        assert shift == 7


def test_the_first_of_some_times_is_that_of_the_component() -> None:
    times = [[5, 1, 3, 9], [4, 8, 6, 2]]
    assert np.array_equal(of(STRIDED).earliest(given(*times)), [3, 1, 3, 1])
    assert of(EVERYONE).earliest(given(*times)) == 1
