"""Coefficients of a formula that fit measurements best.

Least squares of the logarithm of predicted over measured, so that a small operator counts as a large one, with a loss
that grows linearly past 10 % so that single bad rows do not decide (soft L1; Charbonnier et al., 1997). Bounds keep
each coefficient at what it can mean. One row in five, chosen by a checksum of its shape, is kept out and gives the
residuals; tables of few rows are fitted whole. Deterministic: fixed starts, no random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from dagc.catalog.calibration import Regime, Residuals
from dagc.ops.formula import Formula, Inputs, Machine, Values

Flags = npt.NDArray[np.bool_]

FEWEST = 4
"""Rows below which nothing is fitted: a duration has a launch, a rate and a bend."""

_WHOLE = 40
"""Rows below which all are used in the fit."""

_MOST = 1500
"""Rows that a fit takes, evenly spread over the table: more change nothing and take longer."""

_STARTS = (1.0, 0.6, 2.0)


class FittingAbsent(Exception):
    """The package that fits is not installed."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Rows of one regime: inputs of the formula, seconds, and where they come from."""

    formula: Formula
    inputs: Inputs
    seconds: Values
    source: str


def fit_regime(measured: Measured, machine: Machine) -> Regime:
    """The regime that these rows give. Raises `FittingAbsent` without scipy."""
    least_squares = _solver()
    out = held_out(measured)
    rows = np.flatnonzero(~out)
    rows = rows[:: -(-len(rows) // _MOST)]
    taken = {name: values[rows] for name, values in measured.inputs.items()}
    parameters = measured.formula.parameters
    low, high = (np.array([getattr(p, side) for p in parameters]) for side in ("low", "high"))
    start = np.array([p.start for p in parameters])

    def residual(values: Values) -> Values:
        terms = measured.formula.terms(_named(measured.formula, values), taken, machine)
        return np.log(terms.seconds / measured.seconds[rows])

    fits: list[Any] = [
        least_squares(
            residual, _inside(start * factor, low, high), bounds=(low, high), loss="soft_l1", f_scale=0.1,
            x_scale=np.maximum(start, 1e-9),
        )
        for factor in _STARTS
    ]  # fmt: skip
    best = min(fits, key=lambda found: float(found.cost))
    return _regime(measured, machine, _rounded(_named(measured.formula, best.x)), out)


def held_out(measured: Measured) -> Flags:
    """Rows that are kept out of the fit."""
    columns = np.stack([measured.inputs[name] for name in sorted(measured.inputs)], axis=1)
    if len(columns) < _WHOLE:
        return np.zeros(len(columns), dtype=np.bool_)
    return np.array([crc32(row.tobytes()) % 5 == 0 for row in np.round(columns, 6)], dtype=np.bool_)


def errors(regime_coefficients: Mapping[str, float], measured: Measured, machine: Machine) -> Values:
    """Signed relative error of each row."""
    return measured.formula.terms(regime_coefficients, measured.inputs, machine).seconds / measured.seconds - 1


def _regime(measured: Measured, machine: Machine, coefficients: dict[str, float], out: Flags) -> Regime:
    found = errors(coefficients, measured, machine)
    judged = found[out] if out.any() else found
    ranges = {name: measured.inputs[name] for name in measured.formula.ranged}
    return Regime(
        formula=measured.formula.name,
        coefficients=coefficients,
        fitted={name: (float(values.min()), float(values.max())) for name, values in ranges.items()},
        residuals=_residuals(judged, bool(out.any())),
        source=measured.source,
    )


def _residuals(found: Values, kept_out: bool) -> Residuals:
    size = np.abs(found)
    return Residuals(
        median=round(float(np.median(size)), 4),
        p90=round(float(np.quantile(size, 0.9)), 4),
        bias=round(float(np.median(found)), 4),
        rows=len(found),
        held_out=kept_out,
    )


def _named(formula: Formula, values: Values) -> dict[str, float]:
    return {p.name: float(value) for p, value in zip(formula.parameters, values, strict=True)}


def _inside(start: Values, low: Values, high: Values) -> Values:
    margin = 1e-6 * (high - low)
    return np.clip(start, low + margin, high - margin)


def _rounded(coefficients: Mapping[str, float]) -> dict[str, float]:
    """Five digits, which is more than a fit knows; what is below a billionth of a unit's size is nothing."""
    return {name: float(f"{value:.5g}") if value > 1e-12 else 0.0 for name, value in coefficients.items()}


def _solver() -> Any:
    try:
        return import_module("scipy.optimize").least_squares
    except ModuleNotFoundError as reason:
        raise FittingAbsent(str(reason)) from reason
