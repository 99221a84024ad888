"""Whether stated intervals hold: the share of held-out runs inside them, beside what chance allows.

Runs are split by configuration, never by load, into the half that prices may be fitted to and the other. Each half is
judged by intervals that the other one has set, so that no run judges its own: `halves` says which is which. The first
of them is clean of everything; prices may have seen the second.

The band of a group is where 95 % of shares lie if each run is inside with the stated probability, independently of the
others. Loads of one configuration are not independent, so that somewhat more groups leave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean

from dagc.results.intervals import LEVELS, Interval
from dagc.results.record import Versioned, record
from dagc.results.serving_validation import PredictedRun

FEWEST = 40
"""Runs from which a group is held against its band; smaller ones are counted together."""

_SIGMAS = 1.96


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run and the interval that the other half states of it."""

    one: PredictedRun
    interval: Interval

    def is_inside(self, level: float) -> bool:
        """Whether the measured time is inside."""
        low, high = self.interval.bounds(level)
        return low <= self.one.run.tpot_seconds <= high


@record
class LevelCoverage:
    """Share of runs inside the interval of a level, and the band in which chance leaves that share."""

    level: float
    inside: float
    band_low: float
    band_high: float
    within: bool


@record
class GroupCoverage:
    """Coverage of some runs at each level; `width` is the median of high / low of the 80 % interval."""

    name: str
    runs: int
    width: float
    levels: list[LevelCoverage]


@record
class PairOdds:
    """Pairs whose order was predicted with a probability from `above` to `most`: its mean, and how many were right.

    A pair is judged by pairs of other groups of model, GPU and engine.
    """

    above: float
    most: float
    pairs: int
    predicted: float
    right: float


@record
class IntervalCoverage(Versioned):
    """Coverage of halves, by what is known of a run's like, by model, GPU and engine; and the odds of pairs."""

    halves: list[GroupCoverage]
    known: list[GroupCoverage]
    groups: list[GroupCoverage]
    odds: list[PairOdds]


def coverage_of(name: str, runs: Sequence[JudgedRun]) -> GroupCoverage:
    """Coverage of one group, which has a run."""
    widths = sorted(one.interval.high_80 / one.interval.low_80 for one in runs)
    return GroupCoverage(
        name=name,
        runs=len(runs),
        width=widths[len(widths) // 2],
        levels=[_level(level, [one.is_inside(level) for one in runs]) for level in LEVELS],
    )


def _level(level: float, inside: Sequence[bool]) -> LevelCoverage:
    half = _SIGMAS * sqrt(level * (1 - level) / len(inside))
    share = mean(inside)
    low, high = max(level - half, 0.0), min(level + half, 1.0)
    return LevelCoverage(level=level, inside=share, band_low=low, band_high=high, within=low <= share <= high)


def by_group(runs: Iterable[JudgedRun]) -> list[GroupCoverage]:
    """Groups of model, GPU and engine of at least `FEWEST` runs, then all others together."""
    groups: dict[str, list[JudgedRun]] = {}
    for one in runs:
        groups.setdefault(one.one.run.group + (", separate pools" if one.one.run.prefill else ""), []).append(one)
    large = {name: found for name, found in sorted(groups.items()) if len(found) >= FEWEST}
    small = [one for name, found in groups.items() if name not in large for one in found]
    rows = [coverage_of(name, found) for name, found in large.items()]
    return [*rows, *([coverage_of(f"{len(groups) - len(large)} smaller groups", small)] if small else [])]
