"""Tables of measurements become the calibration of a device."""

from __future__ import annotations

from collections.abc import Sequence

from dagc.catalog.calibration import Calibration, Regime
from dagc.catalog.device import ClusterSpec
from dagc.diag.diagnostic import Code, Diagnostic, in_order
from dagc.fit.coverage import Coverage, completed, coverage, with_streams
from dagc.fit.fit import FittingAbsent, fit_regime
from dagc.fit.table import read_table
from dagc.ops.formula import Machine
from dagc.source import Source

PACKAGE_ABSENT = Code("X402", "package-not-installed")


def fit(
    sources: Sequence[Source], cluster: ClusterSpec, relative: Calibration | None = None
) -> tuple[Calibration | None, tuple[Diagnostic, ...]]:
    """The calibration that measurements give, or why there is none. Shares are of the device's datasheet figures.

    What was not measured is taken from a `relative`, if any.
    """
    found: list[Diagnostic] = []
    device, links = cluster.device, (cluster.link_bytes_per_second, cluster.network_bytes_per_second)
    regimes: dict[str, Regime] = {}
    for source in sources:
        table, problems = read_table(source)
        found += problems
        for name, measured in table.regimes.items():
            peak = device.flops.get(table.peaks[name], max(device.flops.values(), default=1.0))
            machine = Machine(
                peak,
                device.bandwidth_bytes_per_second or 1.0,
                device.processors or 1,
                *(link or 1.0 for link in links),
            )
            try:
                regimes[name] = fit_regime(measured, machine)
            except FittingAbsent:
                return None, (_absent(),)
    if found:
        return None, in_order(found)
    own = with_streams(Calibration(device=device.name, regimes=dict(sorted(regimes.items()))))
    return completed(own, relative) if relative else own, ()


def covered(calibration: Calibration, cluster: ClusterSpec) -> Coverage:
    """What of the device a calibration covers, and what not."""
    return coverage(calibration, cluster.device)


def _absent() -> Diagnostic:
    message = "`dagc fit` needs the package `scipy`, which is not installed"
    return PACKAGE_ABSENT.at(
        None, message, help=('install it: `pip install scipy`, or from a clone of dagc `pip install ".[fit]"`',)
    )
