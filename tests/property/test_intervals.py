"""Conformal bounds cover what they say, whatever the scores are; intervals are nested and hold their prediction."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagc.catalog.serving_runs import ServingRun, WorkerDegrees
from dagc.fit.intervals import ConfigurationRuns, interval_table, judge_halves, locate, scores
from dagc.results.intervals import (
    LEVELS,
    SCALE_STRENGTH,
    STRENGTH,
    IntervalTable,
    Location,
    Quantiles,
    conformal_bounds,
)
from dagc.results.serving_validation import PredictedRun

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
    # Distances from 1/9 are 7/18, 8/9 and 25/18, 8/9 in the mean: of the logarithms (4 · 0 + ln 8/9) / (4 + 1).
    assert SCALE_STRENGTH == 4.0
    assert found.scale == pytest.approx((8 / 9) ** (1 / 5))
    assert locate(known, ("c",)) is None


def test_a_score_knows_nothing_of_its_like() -> None:
    """Of a new GPU: that of a is scored by b alone, at -1, and the other way round. One run alone has no distance from
    its shift, and counts with a hundredth of the error that is expected.
    """
    known = [cluster(("a",), 1.0), cluster(("b",), -1.0)]
    assert scores(known, known, 0) == pytest.approx([2.0 / 0.01, -2.0 / 0.01])
    # With the configuration left out nothing is known of its GPU.
    assert scores(known, known, 1) == []
    both = [*known, cluster(("a",), 3.0, name=1)]
    assert len(scores(both, both, 1)) == 2
    assert LEVELS == (0.5, 0.8)


def measured(number: int, ratio: float, prefill: bool = False) -> PredictedRun:
    """A configuration of its own, measured so many times as slow as predicted, of a spread of 10 %."""
    run = ServingRun(
        table="t", model=f"m{number % 4}", precision="fp8", gpu=f"g{number % 3}", engine="e", plan_engine="e",
        version="", worker=WorkerDegrees(1), prompt=16 + number, output=16, concurrency=1, tpot_seconds=ratio,
        model_text="", prefill=(1, WorkerDegrees(1)) if prefill else None,
    )  # fmt: skip
    return PredictedRun(run, 1.0, 0.1, (f"g{number % 3}", f"m{number % 4}", "s"))


def test_only_runs_that_no_price_was_fitted_to_set_quantiles() -> None:
    runs = [measured(number, 1.0 + number / 1000) for number in range(120)]
    unseen = sum(not one.run.is_in_fit for one in runs)
    assert 40 < unseen < 80
    found = interval_table(runs, {"static batch": [0.0] * 30})
    assert {found.groups[group].runs for group in ("new GPU or engine", "new model", "new strategy")} == {unseen}
    # No pools and too few batches of the other kind: both have the bounds of what knows least.
    assert found.groups["separate pools"] == found.groups["new GPU or engine"]
    assert found.groups["static batch"].bounds == ((0.0, 0.0), (0.0, 0.0))


def test_a_half_is_judged_by_the_other() -> None:
    """One half as predicted, the other off by e either way: the first lies inside of the other's, and not so turned."""
    runs = [measured(number, 1.0) for number in range(120)]
    off = [
        replace(one, run=replace(one.run, tpot_seconds=exp(1 if number % 2 else -1))) if one.run.is_in_fit else one
        for number, one in enumerate(runs)
    ]
    clean, fitted = judge_halves(off)
    assert (clean.is_in_fit, fitted.is_in_fit) == (False, True)
    assert all(one.is_inside(0.8) for one in clean.runs) and not any(one.is_inside(0.8) for one in fitted.runs)
    assert len(clean.runs) + len(fitted.runs) == 120
    # Each run stands for three groups: no other strategy of its model is known, so that it cannot be a new one.
    groups = [one.interval.group for one in clean.cut]
    assert {group: groups.count(group) for group in set(groups)} == dict.fromkeys(
        ("new GPU or engine", "new model", "known configuration"), len(clean.runs)
    )
