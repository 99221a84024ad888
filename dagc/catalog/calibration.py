"""How fast a device is in measurements: a named formula with fitted coefficients for each regime.

A regime is a kind of operator in one arithmetic type, or a kind of collective by one backend: `gemm/bf16`,
`grouped_gemm/fp8`, `attention/decode`, `elementwise`, `all_reduce/nccl`. Shares in coefficients are of the device's
datasheet peaks, times are seconds, sizes bytes or elements: what a coefficient means stands beside the formula of its
name in `dagc.cost`. Files lie under `calibrations/`, one a device; several devices may name the same file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

_HERE = Path(__file__).parent / "calibrations"


class _Noun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Residuals(_Noun):
    """How far the formula is from the measurements: |predicted / measured - 1| over `rows` of them.

    `bias` is the median of the signed error, positive where predictions are too slow. `held_out` says that the rows
    were not used in the fit.
    """

    median: float = Field(ge=0)
    p90: float = Field(ge=0)
    bias: float
    rows: int = Field(ge=1)
    held_out: bool = False


class Regime(_Noun):
    """The coefficients of one formula on one device.

    `fitted` gives for each input the least and the largest value of the fit; empty where nothing was fitted.
    `derived` says from which device or assumption coefficients come that were not fitted to this one's measurements.
    `source` is where measurements come from: repository, commit and licence.
    """

    formula: str
    coefficients: Mapping[str, float]
    fitted: Mapping[str, tuple[float, float]] = {}
    residuals: Residuals
    source: str
    derived: str = ""

    def outside(self, inputs: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the inputs outside the range of the fit, in the order given; what was not fitted has no range."""
        known = ((name, value, self.fitted.get(name)) for name, value in inputs.items())
        return tuple(name for name, value, range_ in known if range_ and not range_[0] <= value <= range_[1])


class Calibration(_Noun):
    """What is measured of one device, by regime."""

    device: str
    regimes: Mapping[str, Regime]

    def regime(self, *names: str) -> Regime | None:
        """The regime of the first of these names that there is, or None."""
        return next((self.regimes[name] for name in names if name in self.regimes), None)


def calibration_names() -> tuple[str, ...]:
    """Devices that have a calibration file, sorted."""
    return tuple(sorted(path.stem for path in _HERE.glob("*.json")))


@cache
def load_calibration(name: str) -> Calibration:
    """The calibration of a preset; `name` is one of `calibration_names()`."""
    return read_calibration((_HERE / f"{name}.json").read_bytes())


@cache
def load_exchanges(name: str) -> Calibration:
    """How fast collectives are on a preset that has such a file in `calibrations/collectives/`."""
    return read_calibration((_HERE / "collectives" / f"{name}.json").read_bytes())


def read_calibration(text: bytes) -> Calibration:
    """The calibration in a file. Raises pydantic's `ValidationError` on another content."""
    return Calibration.model_validate(json.loads(text))
