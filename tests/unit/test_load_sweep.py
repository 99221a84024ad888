"""Which loads of a sweep are too high, from what was tried."""

from __future__ import annotations

from dagc.driver.load_sweep import Tried, too_high_from
from dagc.results.simulation import SweepPoint


def tried(*points: tuple[float, bool, bool, float]) -> dict[float, Tried]:
    """Load, whether it keeps every requirement, whether it keeps the upper limits, goodput."""
    return {
        load: Tried(
            SweepPoint(load=load, requests_per_second=load, ttft_seconds={}, tpot_seconds={}, met=met),
            keeps_ceilings,
            goodput,
        )
        for load, met, keeps_ceilings, goodput in points
    }


def test_upper_limits_are_missed_from_some_load_on() -> None:
    assert too_high_from(tried((1, True, True, 0), (2, True, True, 0), (3, False, False, 0)), 4) == (2, 3)
    assert too_high_from(tried((1, False, False, 0)), 4) == (0, 1)
    assert too_high_from(tried((1, True, True, 0)), 4) == (1, 4)


def test_a_lower_limit_is_missed_below_and_above() -> None:
    """Goodput of at least 2: 1 is too low, 4 and 5 have less of it than 3, and are too high."""
    points = tried((1, False, True, 1), (3, True, True, 3), (4, False, True, 1.5), (5, False, True, 0.5))
    assert too_high_from(points, 6) == (3, 4)


def test_a_lower_limit_that_no_load_keeps_is_missed_below() -> None:
    assert too_high_from(tried((1, False, True, 1), (3, False, True, 3)), 6) == (3, 6)
