"""What the fullest rank of an expert group has, as chance spreads tokens: an expert layer goes at its pace.

Loads of `routing` are expectations, and under uniform routing the same on every rank. In each layer of each step one
of the R ranks has more, and the sum over ranks waits for it. With λ rows expected on a rank,

    rows   E[max] = λ + m √(c λ) + g c (1 - 2/R)          c = (E - k) / (E - 1)

where m and s are the first two moments of the largest of R standard normal numbers, and g = (s - 1) / 6. Counts that
add up to a given sum are those of independent Poisson numbers of that sum, so that their spread about each other is
√λ; that a token's k choices are different experts of E takes c off the variance. The last term is the first one of
Cornish and Fisher's expansion (1938), for the counts lean to large numbers; those of two ranks do not. Of the S experts
that a rank holds each is hit with chance q, almost independently, so

    hit    E[max] = S q + m √(S q (1 - q)) + g max(0, 1 - 2 q)

which is at most S, and no more than the rows. Extremes of normal numbers: David and Nagaraja, "Order statistics"
(2003), section 2.1; they have no closed form beyond five and are integrated. Under skewed routing ranks have different
means, and the largest of R different normal numbers is integrated in the same way. Tests compare both with drawn
tokens.
"""

from __future__ import annotations

from functools import lru_cache
from math import erf, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.ops.load import Load

Figures = npt.NDArray[np.float64]

_REACH = 6.0
"""Standard deviations beyond which nothing is integrated."""

_POINTS = 97
"""Points of an integral over ranks of different means."""


class Extremes(NamedTuple):
    """Mean and mean square of the largest of some standard normal numbers."""

    mean: float
    square: float

    @property
    def lean(self) -> float:
        """What it is moved by where the numbers lean to large ones with a skewness of one deviation."""
        return (self.square - 1.0) / 6.0


@lru_cache(maxsize=256)
def extremes(count: int) -> Extremes:
    """Of so many independent standard normal numbers; 0 and 1 of a single one."""
    if count == 1:
        return Extremes(0.0, 1.0)
    edges = np.linspace(-8.0, 8.0, 3201)
    below = np.array([0.5 * (1.0 + erf(edge / sqrt(2.0))) for edge in edges.tolist()]) ** count
    middle, chance = (edges[1:] + edges[:-1]) / 2, np.diff(below)
    return Extremes(float(middle @ chance), float(middle**2 @ chance))


def fullest_rows(mean: Load, ranks: int, top: int, count: int) -> Load:
    """Rows of the rank with most, where `mean` are expected on each of `ranks`: of tokens that choose `top` of `count`.

    At most all that it can get: each token has as many rows there as the rank has experts, `top` at most.
    """
    if ranks == 1:
        return mean
    of, distinct = extremes(ranks), (count - top) / max(1, count - 1)
    most = mean * (ranks * min(1.0, count / ranks / top))
    return np.maximum(mean, np.minimum(most, mean + _beyond_rows(mean, of, distinct, ranks)))


def _beyond_rows(mean: Load, of: Extremes, distinct: float, ranks: int) -> Load:
    return of.mean * np.sqrt(distinct * mean) + of.lean * distinct * (1.0 - 2.0 / ranks)


def fullest_hit(slots: float | Load, chance: Load, rows: Load, ranks: int) -> Load:
    """Distinct experts that are hit on the rank with most of them, each of its `slots` with a `chance`.

    No more than `rows` of the rank with most rows.
    """
    mean = slots * chance
    if ranks == 1:
        return mean
    of = extremes(ranks)
    beyond = of.mean * np.sqrt(mean * (1.0 - chance)) + of.lean * np.maximum(0.0, 1.0 - 2.0 * chance)
    return np.maximum(mean, np.minimum(np.minimum(slots, rows), mean + beyond))


def uneven_rows(mean: Figures, variance: Figures, ranks: int) -> Figures:
    """The same under skewed routing, as a multiple of the largest of the means, which are those along the last axis."""
    of = extremes(ranks)
    return _uneven(mean, variance, of.lean * (1.0 - 2.0 / ranks))


def uneven_hit(mean: Figures, variance: Figures) -> Figures:
    """The same of distinct experts."""
    return _uneven(mean, variance, 0.0)


def _uneven(mean: Figures, variance: Figures, lean: float) -> Figures:
    """Where one rank is ahead of all others chance adds nothing, and leaning neither."""
    most, of = mean.max(axis=-1), extremes(mean.shape[-1])
    beyond = largest_of_different(mean, variance) - most
    alike = np.sqrt(np.take_along_axis(variance, mean.argmax(axis=-1)[..., None], axis=-1)[..., 0]) * of.mean
    leaning = lean * np.minimum(1.0, beyond / np.where(alike > 0, alike, 1.0))
    return (1.0 + (beyond + leaning) / np.where(most > 0, most, 1.0))[..., None]


def largest_of_different(mean: Figures, variance: Figures) -> Figures:
    """The mean of the largest of independent normal numbers along the last axis; that of the largest mean at least."""
    deviation = np.sqrt(variance)
    low = (mean - _REACH * deviation).max(axis=-1)
    high = (mean + _REACH * deviation).max(axis=-1)
    points: Figures = low[..., None] + (high - low)[..., None] * np.linspace(0.0, 1.0, _POINTS)
    apart = points[..., None] - mean[..., None, :]
    reach = _REACH * np.maximum(deviation, 1e-9)[..., None, :]
    score = np.clip(apart, -reach, reach) / reach * _REACH
    below = _normal(score).prod(axis=-1)
    step = (high - low) / (_POINTS - 1)
    whole = high - step * (below.sum(axis=-1) - (below[..., 0] + below[..., -1]) / 2)
    return np.maximum(whole, mean.max(axis=-1))


def _normal(score: Figures) -> Figures:
    """The share of a standard normal number below; within 2e-4 (Page, "Approximations to the normal", 1977)."""
    return 0.5 * (1.0 + np.tanh(sqrt(2.0 / np.pi) * (score + 0.044715 * score**3)))
