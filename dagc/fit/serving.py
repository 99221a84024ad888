"""Factors of kinds of work from serving runs, shrunk towards the published fit.

A run takes c + Σ T_k f_k, with T_k the time of each kind of work and f_k its factor, 1 as published. The logarithms θ
of the factors minimise

    Σ over runs ρ((log measured - log predicted) / NOISE) + θ' C⁻¹ θ / s²

C is the covariance of factors from device to device (below), s its strength: 0 leaves the published fit as it is. The
strength that errs least on runs left out is taken. ρ is that of Student's t with 4 degrees of freedom, so that a few
runs of another version of the engine do not decide (Lange, Little, Taylor, "Robust statistical modeling using the t
distribution", 1989). The loss is minimised by reweighted Gauss-Newton steps.

Errors of the choice are judged on runs that neither the factors nor the strength have seen: nested cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import LARGEST_FACTOR, SMALLEST_FACTOR, Work

Values = npt.NDArray[np.float64]

KINDS = tuple(Work)

NOISE = 0.035
"""Relative spread of a run that no factor explains, other versions of the engine aside: one configuration repeated on
MI300X over months is 3.5 % from its median in the median."""

_COMMON, _OWN, _HOST = 0.3, 0.3, 1.0
"""Standard deviations of θ: of all operators and exchanges of a device together, of each kind beside that, and of the
host, which has nothing to do with the device. Types of one kind share half of the kind's own variance."""

STRENGTHS = (0.0, 0.25, 1.0)

_MOST_FOLDS = 10
_DEGREES = 4
_STEPS, _CLOSE = 40, 1e-6
_CAP = 0.5
"""Error from which on a run left out counts no more: one of another setting."""


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Seconds of some runs as formulas have them: `parts` by run and kind, shape (runs, kinds), and the rest, (runs,).

    A part is the derivative of the seconds by its factor, taken at a factor of 1.
    """

    parts: Values
    rest: Values

    def seconds(self, factors: Values) -> Values:
        """Of each run, with these factors."""
        return self.rest + self.parts @ factors

    def of(self, runs: Sequence[int] | npt.NDArray[np.int64]) -> RunTimes:
        """Of some of the runs."""
        return RunTimes(self.parts[runs], self.rest[runs])


@dataclass(frozen=True, slots=True)
class FactorFit:
    """Factors by kind, between `low` and `high` with a probability of 68 %; all of shape (kinds,).

    `determined` is the share of the variance of a factor between devices that the runs take away.

    Errors are predicted / measured - 1, shape (runs,): `before` with factors of 1, `after` with these, `judged` on runs
    that were left out, None where there is but one run.
    """

    factors: Values
    low: Values
    high: Values
    determined: Values
    strength: float
    before: Values
    after: Values
    judged: Values | None


def fit_factors(times: RunTimes, measured: Values) -> FactorFit:
    """The factors that explain measured seconds, shape (runs,)."""
    ones = np.ones(len(KINDS))
    strength = _strength(times, measured) if len(measured) > 1 else 1.0
    factors, spread = _solved(times, measured, strength)
    return FactorFit(
        factors,
        factors * np.exp(-spread),
        factors * np.exp(spread),
        1 - spread**2 / (np.diag(_covariance()) * (strength or 1.0) ** 2),
        strength,
        times.seconds(ones) / measured - 1,
        times.seconds(factors) / measured - 1,
        _judged(times, measured) if len(measured) > 1 else None,
    )


def _judged(times: RunTimes, measured: Values) -> Values:
    """Errors of each run with the factors and the strength of runs without its fold."""
    errors = np.zeros(len(measured))
    for rest, fold in _folds(len(measured)):
        some, known = times.of(rest), measured[rest]
        factors, _ = _solved(some, known, _strength(some, known) if len(rest) > 1 else 1.0)
        errors[fold] = times.of(fold).seconds(factors) / measured[fold] - 1
    return errors


def _strength(times: RunTimes, measured: Values) -> float:
    """The strength whose factors err least on runs left out; of equals the least."""
    folds = list(_folds(len(measured)))

    def error(strength: float) -> float:
        errors = [
            times.of(fold).seconds(_solved(times.of(rest), measured[rest], strength)[0]) / measured[fold] - 1
            for rest, fold in folds
        ]
        return float(np.minimum(np.abs(np.concatenate(errors)), _CAP).mean())

    return min(STRENGTHS, key=error)


def _folds(runs: int) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """The runs without a fold, and the fold; each run is in one."""
    numbers = np.arange(runs)
    many = min(runs, _MOST_FOLDS)
    return [(numbers[numbers % many != fold], numbers[numbers % many == fold]) for fold in range(many)]


def _solved(times: RunTimes, measured: Values, strength: float) -> tuple[Values, Values]:
    """Factors, and the standard deviations of their logarithms. A kind that takes no time keeps a factor of 1."""
    factors = np.ones(len(KINDS))
    used = np.flatnonzero(times.parts.sum(axis=0) > 0)
    spread = np.sqrt(np.diag(_covariance())) * (strength or 1.0)
    if not strength or not used.size:
        return factors, spread
    precision: Values = np.asarray(np.linalg.inv(_covariance()[used][:, used]), np.float64) / strength**2
    theta, curvature = np.zeros(used.size), precision
    for _ in range(_STEPS):
        slope, curvature = _slope(times.parts[:, used] * np.exp(theta), times.rest, measured)
        curvature = curvature + precision
        step: Values = np.asarray(np.linalg.solve(curvature, slope - precision @ theta), np.float64)
        theta = (theta + step.clip(-0.5, 0.5)).clip(log(SMALLEST_FACTOR), log(LARGEST_FACTOR))
        if np.abs(step).max() < _CLOSE:
            break
    factors[used], spread[used] = np.exp(theta), np.sqrt(np.diag(np.linalg.inv(curvature)))
    return factors, spread


def _slope(parts: Values, rest: Values, measured: Values) -> tuple[Values, Values]:
    """The derivative of the fit by logarithms of factors, and its curvature; parts have the factors in them."""
    seconds: Values = rest + parts.sum(axis=1)
    slopes, missing = parts / seconds[:, None], np.log(measured / seconds)
    weights = (_DEGREES + 1) / (_DEGREES + (missing / NOISE) ** 2)
    weighted = slopes * (weights / NOISE**2)[:, None]
    return weighted.T @ missing, weighted.T @ slopes


def _covariance() -> Values:
    """Of θ between devices, for a strength of 1."""
    is_host = np.array([kind is Work.HOST for kind in KINDS])
    families = np.array([kind.family for kind in KINDS])
    common = np.where(families[:, None] == families[None, :], _COMMON**2 + _OWN**2 / 2, _COMMON**2)
    found = np.where(is_host[:, None] | is_host[None, :], 0.0, common)
    return found + np.diag(np.where(is_host, _HOST**2, _OWN**2 / 2))
