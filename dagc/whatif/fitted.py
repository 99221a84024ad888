"""Coefficients of calibrations that a change of hardware moves along.

Formulas of a calibration take the datasheet's peaks, memory bandwidth and link rates, and coefficients that are shares
of them: with a peak, all that is fitted to it scales. A few coefficients are absolute (seconds of a launch or of a step
of an exchange, the rate at which a multiprocessor copies), and belong to no datasheet figure. They are parameters of
their own here, named for what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dagc.catalog.calibration import Calibration, Regime, load_exchanges
from dagc.catalog.device import ClusterSpec, DeviceSpec

_EXCHANGES = frozenset(
    {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send", "dispatch", "combine"}
)  # fmt: skip
"""What the names of regimes of exchanges begin with; all others are of computations."""


@dataclass(frozen=True, slots=True)
class Absolute:
    """Coefficients in seconds or bytes/s that stand for one thing, and what that is."""

    name: str
    title: str
    coefficients: frozenset[str]


KERNEL_LAUNCH = Absolute("kernel_launch", "launch of a kernel", frozenset({"launch"}))
EXCHANGE_LAUNCH = Absolute(
    "exchange_launch", "launch of an exchange", frozenset({"launch", "launch_two", "nvls_launch"})
)  # fmt: skip
EXCHANGE_COPY = Absolute(
    "exchange_copy", "copy rate of dispatch and combine", frozenset({"sm_rate", "sm_rate_inside"})
)  # fmt: skip
LINK_STEP = Absolute("link_latency", "link latency", frozenset({"step"}))
NETWORK_HOP = Absolute("network_latency", "network latency", frozenset({"hop"}))


def launched_at(device: DeviceSpec, factor: float) -> DeviceSpec | None:
    """The device with other launches of kernels; None where none are fitted."""
    if device.calibration is None:
        return None
    own = device.calibration.regimes
    kernels = {name: regime for name, regime in own.items() if not _is_exchange(name)}
    changed = _scaled(kernels, KERNEL_LAUNCH, factor)
    return None if changed == kernels else replace(device, calibration=_with(device.calibration, changed))


def exchanging_at(cluster: ClusterSpec, what: Absolute, factor: float) -> ClusterSpec | None:
    """The cluster with other coefficients of its exchanges; None where none of them is fitted.

    A device's own measurements of exchanges go before those of its preset, so both stand among its own afterwards.
    """
    fitted = exchanges(cluster)
    changed = _scaled(fitted, what, factor)
    if changed == fitted:
        return None
    own = cluster.device.calibration or Calibration(cluster.device.name, {})
    return replace(cluster, device=replace(cluster.device, calibration=_with(own, changed)))


def exchanges(cluster: ClusterSpec) -> Mapping[str, Regime]:
    """The regimes of exchanges that hold on a cluster, by name."""
    preset = load_exchanges(cluster.exchanges) if cluster.exchanges else None
    found: dict[str, Regime] = {}
    for measured in (preset, cluster.device.calibration):
        if measured is not None:
            found |= {name: regime for name, regime in measured.regimes.items() if _is_exchange(name)}
    return found


def _with(calibration: Calibration, regimes: Mapping[str, Regime]) -> Calibration:
    return replace(calibration, regimes={**calibration.regimes, **regimes})


def _is_exchange(regime: str) -> bool:
    return regime.partition("/")[0] in _EXCHANGES


def _scaled(regimes: Mapping[str, Regime], what: Absolute, factor: float) -> dict[str, Regime]:
    return {name: _regime(regime, what, factor) for name, regime in regimes.items()}


def _regime(regime: Regime, what: Absolute, factor: float) -> Regime:
    coefficients = {
        name: value * factor if name in what.coefficients else value for name, value in regime.coefficients.items()
    }
    return replace(regime, coefficients=coefficients)
