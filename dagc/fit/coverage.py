"""What a calibration covers of a device: regimes fitted to its measurements, regimes derived, and what has none.

Regimes that were not measured on a device, taken from a relative.

Coefficients are shares of the datasheet figures of either device, so they carry over; how well is known from pairs of
devices that were both measured: coefficients of one predict another's bf16 products within 10-16 % (H100, A100, B200;
medians), fp8 products within 14-20 %, expert layers within 6-12 % (H100, H200) or 20-40 % (A100), norms and sums within
12-20 %, the core of attention within 5-60 %. Measured with the tables of ai-dynamo/aiconfigurator @ 095f58a5,
microsoft/vidur @ 7d475133 and alibaba/InferSim @ f2293dab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median

from dagc.catalog.calibration import Calibration, Regime
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.fit.operators import EXCHANGES, OPERATORS, FittedOperator
from dagc.ops.elementwise import EXPERT_STREAMS, STREAMED
from dagc.ops.grouped_gemm import LAYER

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
    return tuple(dict.fromkeys(operator.family for operator in operators.values() if operator.by_type is by_type))


MINIMUM_ERROR = 0.2
"""Relative error to expect of a regime of another device, unless its own is larger."""


def with_streams(own: Calibration) -> Calibration:
    """The calibration with a regime for what lies between the products, where whole expert layers were fitted.

    Their traffic is so many times the least there can be, so that a stream goes at that part of the bandwidth; its
    launches are in those of the products. The median of the types that were measured.
    """
    whole = [regime for regime in own.regimes.values() if regime.formula == LAYER.name]
    if not whole:
        return own
    share = 1 / median(regime.coefficients["traffic"] for regime in whole)
    coefficients = {"launch": 0.0, "memory": float(f"{min(1.0, share):.5g}")}
    stream = replace(whole[0], formula=STREAMED.name, coefficients=coefficients, fitted={})
    return replace(own, regimes=dict(sorted({**own.regimes, EXPERT_STREAMS: stream}.items())))


def completed(own: Calibration, relative: Calibration) -> Calibration:
    """A calibration with the regimes of a relative where it has none, marked as such."""
    taken = {name: _derived(regime, relative.device) for name, regime in relative.regimes.items()}
    whole = dict(sorted({**taken, **own.regimes}.items()))
    return replace(own, regimes=whole)


def _derived(regime: Regime, device: str) -> Regime:
    error = max(MINIMUM_ERROR, regime.residuals.median)
    residuals = replace(regime.residuals, median=error, p90=max(2 * error, regime.residuals.p90))
    return replace(regime, derived=regime.derived or f"the coefficients of {device}", residuals=residuals)
