"""The arithmetic of a search's front: domination, distance, and how far a figure is from what is required."""

from __future__ import annotations

import pytest

from dagc.search.front import Front, distance
from dagc.search.verdict import miss_of


def test_a_front_keeps_what_nothing_dominates() -> None:
    """(1, 2) and (2, 1) stand beside each other; (2, 2) is behind both, and falls whenever it comes."""
    front = Front()
    for vector in ((2.0, 2.0), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0)):
        front.add(vector)
    assert sorted(front.vectors) == [(1.0, 2.0), (2.0, 1.0)]


def test_distance_is_the_share_by_which_one_plan_is_better_in_everything() -> None:
    """Against 100 GPUs, 4 s and 10 tokens/s (negative: more is better) a plan of 50, 3.2 s and 13 is at least 1.25
    times better: 4 / 3.2. A plan that is worse in one is none to measure by.
    """
    own = (100.0, 4.0, -10.0)
    assert distance(own, [(50.0, 3.2, -13.0), (200.0, 0.1, -99.0)]) == pytest.approx(0.25)
    assert distance(own, [own]) == 0


def test_a_miss_is_relative_to_what_is_required() -> None:
    """60 ms for at most 50 ms is 20 % too much; 50.7 tokens/s for at least 100 is 49.3 % too little."""
    assert miss_of(60, "<=", 50) == pytest.approx(0.2)
    assert miss_of(50.7, ">=", 100) == pytest.approx(0.493)
    assert miss_of(40, "<=", 50) == 0
