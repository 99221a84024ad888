"""How fast a device is in measurements: a named formula with fitted coefficients for each regime.

A regime is a kind of operator in one arithmetic type, or a kind of collective by one backend: `gemm/bf16`,
`grouped_gemm/fp8`, `attention/decode`, `elementwise`, `all_reduce/nccl`. Shares in coefficients are of the device's
datasheet peaks, times are seconds, sizes bytes or elements: what a coefficient means is said beside the formula of its
name in `dagc.cost`. Files lie under `calibrations/`, one a device; several devices may name the same file.

Beside regimes a calibration may have factors: how many times as long as its formulas say each kind of work takes in
serving runs of its own (`dagc fit --serving`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from dagc.catalog.dtype import Dtype

_HERE = Path(__file__).parent / "calibrations"


@dataclass(frozen=True, slots=True)
class Residuals:
    """How far the formula is from the measurements: |predicted / measured - 1| over `rows` of them.

    `bias` is the median of the signed error, positive where predictions are too slow. `held_out` says that the rows
    were not used in the fit.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    median: float
    p90: float
    bias: float
    rows: int
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Regime:
    """The coefficients of one formula on one device.

    `fitted` gives for each input the least and the largest value of the fit; empty where nothing was fitted.
    `derived` says from which device or assumption coefficients come that were not fitted to this one's measurements.
    `source` is where measurements come from: repository, commit and licence.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    formula: str
    coefficients: Mapping[str, float]
    residuals: Residuals
    source: str
    fitted: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    derived: str = ""

    def outside(self, inputs: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the inputs outside the range of the fit, in the order given; what was not fitted has no range."""
        found: list[str] = []
        for name, value in inputs.items():
            known = self.fitted.get(name)
            if known and not known[0] <= value <= known[1]:
                found.append(name)
        return tuple(found)


class Work(StrEnum):
    """Kinds of work of a step that serving runs can tell apart: the host's, that of operators, and exchanges.

    Products of weights of a byte (fp8, int8) and of less (fp4 and its like) have kernels of their own.
    """

    HOST = "host"
    GEMM = "gemm"
    GEMM_FP8 = "gemm/fp8"
    GEMM_FP4 = "gemm/fp4"
    ATTENTION = "attention"
    EXPERTS = "experts"
    EXPERTS_FP8 = "experts/fp8"
    EXPERTS_FP4 = "experts/fp4"
    ELEMENTWISE = "elementwise"
    COMMUNICATION = "communication"

    @property
    def family(self) -> Work:
        """The same work in whatever type."""
        return Work(self.partition("/")[0])

    def of(self, dtype: Dtype) -> Work:
        """The same work in a type of arithmetic, where kernels differ by type."""
        if dtype.bytes > 1 or self not in (Work.GEMM, Work.EXPERTS):
            return self
        return Work(f"{self}/{'fp8' if dtype.bytes == 1 else 'fp4'}")


SMALLEST_FACTOR, LARGEST_FACTOR = 0.02, 50.0


@dataclass(frozen=True, slots=True)
class ServingFactors:
    """How many times as long as formulas say each kind of work takes.

    Where a type is missing, its family's factor holds, and 1 where that is missing too.

    They were fitted to so many `runs`. `error_before` and `error_after` are medians of |predicted / measured - 1|: of
    the formulas alone, and with factors of runs of which the judged one was none (cross-validation).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    factors: Mapping[Work, float]
    runs: int
    error_before: float
    error_after: float
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What is measured of one device, by regime. Each is equal to itself alone, so that it can be part of a key."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    device: str
    regimes: Mapping[str, Regime]
    serving: ServingFactors | None = None

    def factor(self, work: Work) -> float:
        """How many times as long as its formula says a kind of work takes."""
        if self.serving is None:
            return 1.0
        factors = self.serving.factors
        return factors.get(work, factors.get(work.family, 1.0))

    def regime(self, *names: str) -> Regime | None:
        """The regime of the first of these names that there is, or None."""
        return next((self.regimes[name] for name in names if name in self.regimes), None)


@cache
def load_calibration(name: str) -> Calibration:
    """The calibration of a preset; `name` is that of its file. The files are ours and not checked again."""
    data = json.loads((_HERE / f"{name}.json").read_bytes())
    regimes = {key: _regime(regime) for key, regime in data["regimes"].items()}
    return Calibration(data["device"], regimes)


@cache
def load_exchanges(name: str) -> Calibration:
    """How fast collectives are on a preset that has such a file in `calibrations/collectives/`."""
    return load_calibration(f"collectives/{name}")


def read_calibration(text: bytes) -> Calibration:
    """The calibration in a file of a user. Raises pydantic's `ValidationError` on another content."""
    from pydantic import TypeAdapter

    return TypeAdapter(Calibration).validate_json(text)


def calibration_text(calibration: Calibration) -> str:
    """The file that `read_calibration` reads."""
    fields = {name: value for name, value in asdict(calibration).items() if value is not None}
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def _regime(data: dict[str, Any]) -> Regime:
    ranges = {key: (low, high) for key, (low, high) in data.get("fitted", {}).items()}
    whole: dict[str, Any] = {**data, "residuals": Residuals(**data["residuals"]), "fitted": ranges}
    return Regime(**whole)
