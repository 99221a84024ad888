"""Conformal bounds cover what they say, whatever the scores are; intervals are nested and hold their prediction."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagc.fit.intervals import ConfigurationRuns, locate, scores
from dagc.results.intervals import LEVELS, STRENGTH, IntervalTable, Location, Quantiles, conformal_bounds

SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=60)


@given(SCORES, st.sampled_from([0.1, 0.5, 0.8, 0.95]))
def test_of_exchangeable_scores_the_stated_share_is_inside(values: list[float], level: float) -> None:
    """Each of n + 1 scores is equally likely the next: those inside of the bounds of the others are the coverage."""
    inside = 0
    for i, value in enumerate(values):
        low, high = conformal_bounds([*values[:i], *values[i + 1 :]], level)
        inside += low <= value <= high
    assert inside >= level * len(values) - 1e-9


@given(SCORES, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_higher_level_is_a_wider_interval(values: list[float], one: float, other: float) -> None:
    narrow, wide = (conformal_bounds(values, level) for level in sorted((one, other)))
    assert wide[0] <= narrow[0] and narrow[1] <= wide[1]


def test_bounds_of_nine_scores_by_hand() -> None:
    """Of 9 scores the k-th is passed with k / 10: 80 % leaves 1 / 10 on each side, 50 % two of ten, 90 % none."""
    values = list(range(1, 10))
    assert [conformal_bounds(values, level) for level in (0.8, 0.5, 0.9)] == [(1, 9), (2, 8), (-inf, inf)]


def test_draws_of_one_distribution_are_covered_and_not_by_much_more() -> None:
    """400 tables of 99 normal draws and one more: 80 % ± 3 standard errors of 2 %."""
    draws = np.random.default_rng(7).normal(size=(400, 100))
    inside = [low <= row[-1] <= high for row in draws for low, high in [conformal_bounds(row[:-1].tolist(), 0.8)]]
    assert 0.74 < float(np.mean(inside)) < 0.86


@given(
    st.floats(1e-6, 1e3), st.floats(0, 2), st.floats(-3, 3), st.floats(0.1, 5),
    st.lists(st.floats(-9, 9), min_size=4, max_size=4),
)  # fmt: skip
def test_intervals_are_nested_and_the_printed_one_holds_the_prediction(
    seconds: float, spread: float, shift: float, scale: float, ends: list[float]
) -> None:
    a, b, c, d = sorted(ends)
    table = IntervalTable({"new GPU or engine": Quantiles(1, ((b, c), (a, d)))}, {(): Location(shift, scale)})
    found = table.interval(seconds, spread, ("unknown",))
    assert 0 < found.low_80 <= found.low_50 <= found.high_50 <= found.high_80 < inf
    assert found.low_80 <= seconds <= found.high_80


def cluster(path: tuple[str, ...], *residuals: float, name: object = 0) -> ConfigurationRuns:
    return ConfigurationRuns(path, (path, name), residuals, is_in_fit=False)


def test_what_is_known_is_drawn_to_what_is_known_of_more() -> None:
    """One configuration of median 1 on GPU a, one of -1 on GPU b: 0 overall; on a (8 · 0 + 1) / (8 + 1)."""
    known = [cluster(("a",), 0.5, 1.0, 1.5), cluster(("b",), -1.0)]
    assert locate(known, ()) == Location(0.0, 1.0)
    assert STRENGTH == 8.0
    found = locate(known, ("a",))
    assert found is not None and found.shift == pytest.approx(1 / 9)
    # Distances from 1/9 are 7/18, 8/9 and 25/18, 8/9 in the mean: (8 · 1 + 8/9) / 9.
    assert found.scale == pytest.approx(80 / 81)
    assert locate(known, ("c",)) is None


def test_a_score_knows_nothing_of_its_like() -> None:
    """Of a new GPU: that of a is scored by b alone, at -1 with the scale 1 of no distance; and the other way round."""
    known = [cluster(("a",), 1.0), cluster(("b",), -1.0)]
    assert scores(known, known, 0) == pytest.approx([2.0, -2.0])
    # With the configuration left out nothing is known of its GPU.
    assert scores(known, known, 1) == []
    both = [*known, cluster(("a",), 3.0, name=1)]
    assert len(scores(both, both, 1)) == 2
    assert LEVELS == (0.5, 0.8)
