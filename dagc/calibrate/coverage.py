"""What a calibration covers of a device: regimes fitted to its measurements, regimes derived, and what has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from dagc.calibrate.exchanges import EXCHANGES
from dagc.calibrate.operators import OPERATORS, FittedOperator
from dagc.catalog.calibration import Calibration
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype

_LABELS = {Dtype.FP16: "bf16", Dtype.MXFP4: "fp4", Dtype.NVFP4: "fp4"}
"""Types that are priced by the regime of another type."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Names of regimes; `rows` and `median` (of the medians, a share) are of the fitted ones, None without any.

    `operators` and `collectives` are those without any regime.
    """

    fitted: tuple[str, ...]
    derived: tuple[str, ...]
    rows: int
    median: float | None
    operators: tuple[str, ...]
    collectives: tuple[str, ...]


def coverage(calibration: Calibration, device: DeviceSpec) -> Coverage:
    """The coverage of a device: operators in each type of which it has a peak, and collectives."""
    own = {name: regime for name, regime in calibration.regimes.items() if not regime.derived}
    errors = [regime.residuals.median for regime in own.values()]
    return Coverage(
        fitted=tuple(own),
        derived=tuple(name for name in calibration.regimes if name not in own),
        rows=sum(regime.residuals.rows for regime in own.values()),
        median=median(errors) if errors else None,
        operators=tuple(name for name in _operators(device) if name not in calibration.regimes),
        collectives=tuple(name for name in _families(EXCHANGES, by_type=False) if name not in calibration.regimes),
    )


def _operators(device: DeviceSpec) -> Iterator[str]:
    """Regimes of all operators: products in each type of the device, the rest in one."""
    types = sorted({_LABELS.get(dtype, dtype.value) for dtype in device.flops})
    for family in _families(OPERATORS, by_type=True):
        yield from (f"{family}/{label}" for label in types)
    yield from _families(OPERATORS, by_type=False)


def _families(operators: Mapping[str, FittedOperator], *, by_type: bool) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.family for one in operators.values() if one.by_type is by_type))
