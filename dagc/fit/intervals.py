"""Quantiles of prediction intervals from measured runs, each scored by what is known without its like.

`dagc.results.intervals` says what a score is. A run is scored four times, once for each group: its configuration is
left out, or all runs of its strategy, of its model, or of its GPU and engine; what is left says where its residual is
expected. So a score of the group `new model` is that of a model which set neither shift nor scale. Only runs that no
price was fitted to (`ServingRun.is_in_fit`) are scored; the others are among what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite, log
from statistics import mean, median

from dagc.results.coverage import IntervalCoverage, JudgedRun, PairOdds, by_group, coverage_of
from dagc.results.intervals import (
    BY_DEPTH,
    LEVELS,
    SCALE_STRENGTH,
    STRENGTH,
    Group,
    Interval,
    IntervalTable,
    LikePath,
    Location,
    Quantiles,
    conformal_bounds,
)
from dagc.results.paired import OTHER, pair_errors
from dagc.results.plan_order import Pair, pairs_of
from dagc.results.serving_validation import PredictedRun

_NEAREST = 1e-2
"""A configuration is no nearer to the shift than this part of the error that is expected, as one run alone may be."""


@dataclass(frozen=True, slots=True)
class ConfigurationRuns:
    """Residuals of one configuration under its loads, which are not independent of each other."""

    path: LikePath
    configuration: tuple[object, ...]
    residuals: tuple[float, ...]
    is_in_fit: bool


def residual(one: PredictedRun) -> float:
    """ln(measured / predicted), by the spread of the prediction."""
    return log(one.run.tpot_seconds / one.seconds) / one.spread


def configuration(one: PredictedRun) -> tuple[object, ...]:
    """What a run is without its load and version. An engine that two tables name differently is one."""
    return one.path, one.run.prompt, one.run.output, one.run.workers, one.run.prefill


def clusters_of(runs: Iterable[PredictedRun]) -> list[ConfigurationRuns]:
    """Runs by configuration; one is in a fit where any of its runs is."""
    found: dict[tuple[object, ...], list[PredictedRun]] = {}
    for one in runs:
        found.setdefault(configuration(one), []).append(one)
    return [
        ConfigurationRuns(same[0].path, key, tuple(map(residual, same)), any(one.run.is_in_fit for one in same))
        for key, same in found.items()
    ]


def locate(clusters: Sequence[ConfigurationRuns], path: LikePath) -> Location | None:
    """Shift and scale of a path: those of its clusters, drawn to those of the shorter path; None where it has none.

    A cluster counts as one: by its median, and by the mean distance of its residuals from the shift. Distances are
    averaged by their logarithms, so that one wild configuration does not widen the intervals of all others.
    """
    own = [one.residuals for one in clusters if one.path[: len(path)] == path]
    if not own:
        return None
    wider = locate(clusters, path[:-1]) if path else None
    drawn, drawn_scale = (STRENGTH, SCALE_STRENGTH) if wider else (0.0, 0.0)
    wider = wider or Location()
    shift = (drawn * wider.shift + sum(map(median, own))) / (drawn + len(own))
    distances = (max(mean(abs(one - shift) for one in found), _NEAREST) for found in own)
    return Location(shift, exp((drawn_scale * log(wider.scale) + sum(map(log, distances))) / (drawn_scale + len(own))))


def _like(cluster: ConfigurationRuns, depth: int) -> object:
    """What is left out with a cluster, so that only so many parts of its path are known."""
    return cluster.configuration if depth == len(cluster.path) else cluster.path[: depth + 1]


def scores(clusters: Sequence[ConfigurationRuns], scored: Sequence[ConfigurationRuns], depth: int) -> list[float]:
    """Scores of clusters when no more than so many parts of their path are known; none where fewer are."""
    places: dict[tuple[object, LikePath], Location | None] = {}
    found: list[float] = []
    for one in scored:
        like = _like(one, depth)
        key = like, one.path[:depth]
        if key not in places:
            places[key] = locate([other for other in clusters if _like(other, depth) != like], one.path[:depth])
        if place := places[key]:
            found.extend((u - place.shift) / place.scale for u in one.residuals)
    return found


def interval_table(
    runs: Sequence[PredictedRun],
    batches: Mapping[Group, Sequence[float]],
    is_scored: Callable[[ConfigurationRuns], bool] = lambda one: not one.is_in_fit,
) -> IntervalTable:
    """The table of measured runs; `batches` are residuals of static batches by group.

    A group with too few runs for its quantiles has those of the group that knows less.
    """
    counted = [one for one in runs if not one.run.suspect]
    node = clusters_of(one for one in counted if not one.run.prefill)
    pools = [residual(one) for one in counted if one.run.prefill]
    groups: dict[Group, Quantiles] = {}
    for depth, group in enumerate(BY_DEPTH):
        found = scores(node, [one for one in node if is_scored(one)], depth)
        groups[group] = _quantiles(found, groups[BY_DEPTH[depth - 1]] if depth else None)
    apart: dict[Group, Sequence[float]] = {"separate pools": pools, **batches}
    groups |= {group: _quantiles(residuals, groups[BY_DEPTH[0]]) for group, residuals in apart.items()}
    paths = sorted({one.path[:depth] for one in node for depth in range(len(one.path) + 1)})
    return IntervalTable(groups, {path: place for path in paths if (place := locate(node, path))})


def _quantiles(found: Sequence[float], other: Quantiles | None) -> Quantiles:
    bounds = tuple(conformal_bounds(found, level) for level in LEVELS)
    if other is not None and not all(isfinite(end) for pair in bounds for end in pair):
        return other
    return Quantiles(len(found), bounds)


@dataclass(frozen=True, slots=True)
class JudgedHalf:
    """Runs under the intervals that the other half of configurations gives, as known, and `cut` down to less.

    In `cut` a run is judged once for each group that it can stand for, its like left out.
    """

    is_in_fit: bool
    runs: list[JudgedRun]
    cut: list[JudgedRun]


def judge_halves(runs: Sequence[PredictedRun]) -> list[JudgedHalf]:
    """The half that no price was fitted to, then the other; a half is missing where the one that judges it is empty."""
    counted = [one for one in runs if not one.run.suspect]
    fitted = {configuration(one) for one in counted if one.run.is_in_fit}
    halves: list[JudgedHalf] = []
    for is_judged_in_fit in (False, True):
        setting = [one for one in counted if (configuration(one) in fitted) is not is_judged_in_fit]
        judged = [one for one in counted if (configuration(one) in fitted) is is_judged_in_fit]
        if not setting or not judged:
            continue
        table = interval_table(setting, {}, lambda _: True)
        node = clusters_of(one for one in setting if not one.run.prefill)
        half = JudgedHalf(is_judged_in_fit, [JudgedRun(one, _interval(table, one)) for one in judged], [])
        half.cut.extend(one for one in half.runs if one.one.run.prefill)
        for members in _alike(one for one in judged if not one.run.prefill):
            half.cut.extend(_cut(members, node, table))
        halves.append(half)
    return halves


def _interval(table: IntervalTable, one: PredictedRun) -> Interval:
    group: Group | None = "separate pools" if one.run.prefill else None
    return table.interval(one.seconds, one.spread, one.path, group)


def _alike(runs: Iterable[PredictedRun]) -> list[list[PredictedRun]]:
    found: dict[LikePath, list[PredictedRun]] = {}
    for one in runs:
        found.setdefault(one.path, []).append(one)
    return list(found.values())


def _cut(
    runs: Sequence[PredictedRun], clusters: Sequence[ConfigurationRuns], table: IntervalTable
) -> Iterator[JudgedRun]:
    """Runs of one path under the intervals of each group that it is, or can be cut down to."""
    path = runs[0].path
    for depth in range(len(path) + 1):
        like = path[: depth + 1]
        left = [one for one in clusters if depth == len(path) or one.path[: depth + 1] != like]
        place = locate(left, path[:depth])
        if place is None:
            continue
        known = IntervalTable(table.groups, {path[:n]: place for n in range(depth + 1)})
        yield from (JudgedRun(one, known.interval(one.seconds, one.spread, path[:depth])) for one in runs)


def pair_odds(pairs: Sequence[Pair], edges: Sequence[float] = (0.5, 0.65, 0.8, 0.9, 1.0)) -> list[PairOdds]:
    """Stated probabilities of the predicted orders of pairs, each from the pairs of other groups, and who was right."""
    found: list[tuple[float, bool]] = []
    for group in dict.fromkeys(pair.first.run.group for pair in pairs):
        table = pair_errors(pair for pair in pairs if pair.first.run.group != group)
        for pair in pairs:
            if pair.first.run.group == group and table and pair.is_apart:
                errors = table.get(pair.kind, table[OTHER])
                odds = errors.probability(log(pair.second.seconds / pair.first.seconds))
                is_second = pair.second.run.tpot_seconds < pair.first.run.tpot_seconds
                found.append((max(odds, 1 - odds), is_second == (odds > 0.5)))
    rows: list[PairOdds] = []
    for above, most in pairwise(edges):
        inside = [(odds, right) for odds, right in found if above <= odds < most]
        if inside:
            predicted, right = (mean(one[i] for one in inside) for i in (0, 1))
            rows.append(PairOdds(above=above, most=most, pairs=len(inside), predicted=predicted, right=right))
    return rows


def coverage(runs: Sequence[PredictedRun]) -> IntervalCoverage:
    """How often measured runs lie inside intervals that the other half of configurations has set."""
    halves = judge_halves(runs)
    judged, cut = [one for half in halves for one in half.runs], [one for half in halves for one in half.cut]
    known = [(group, [one for one in cut if one.interval.group == group]) for group in (*BY_DEPTH, "separate pools")]
    parts = [(_HALVES[one.is_in_fit], one.runs) for one in halves]
    return IntervalCoverage(
        halves=[coverage_of(name, found) for name, found in (*parts, ("both halves", judged)) if found],
        known=[coverage_of(name, found) for name, found in known if found],
        groups=by_group(judged),
        odds=pair_odds(list(pairs_of(runs))),
    )


_HALVES = {
    False: "not in a fit, by intervals of the half in a fit",
    True: "in a fit, by intervals of the half not in a fit",
}
