"""W129: a figure of the cluster is far from that of any accelerator, as by a wrong prefix or unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.source import Span
from dagc.units import format_bytes, format_rate, format_seconds

CODE = Code("W129", "figure-implausible", Severity.WARNING)


@dataclass(frozen=True, slots=True)
class _Range:
    """SI values between which every accelerator and network of the last ten years lies."""

    lowest: float
    highest: float
    unit: str

    def text(self, value: float) -> str:
        if self.unit == "seconds":
            return format_seconds(value)
        return format_bytes(value) if self.unit == "bytes" else format_rate(value, self.unit)

    def meant(self, value: float) -> float | None:
        """The value that another prefix would give, inside the range and nearest to what was written."""
        shifts = sorted((power for power in range(-4, 5) if power), key=abs)
        return next((v for power in shifts if self.holds(v := value * 1000.0**power)), None)

    def holds(self, value: float) -> bool:
        return self.lowest <= value <= self.highest


_MEMORY = _Range(4e9, 4e12, "bytes")
_BANDWIDTH = _Range(5e10, 1e14, "bytes/s")
_COMPUTE = _Range(1e12, 1e18, "flop/s")
_WIRE = _Range(1e8, 1e13, "bytes/s")
_LATENCY = _Range(1e-8, 1e-2, "seconds")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each figure that the plan itself states."""
    for name, value, span, allowed in _figures(plan):
        if not allowed.holds(value):
            yield _diagnostic(name, value, span, allowed)


def _figures(plan: Plan) -> Iterator[tuple[str, float, Span, _Range]]:
    cluster, device = plan.facts.cluster, plan.facts.cluster.device
    figures: list[tuple[str, float | None, _Range]] = [
        ("memory", device.memory_bytes, _MEMORY),
        ("bandwidth", device.bandwidth_bytes_per_second, _BANDWIDTH),
        *((dtype.value, peak, _COMPUTE) for dtype, peak in device.flops.items()),
        ("link", cluster.link_bytes_per_second, _WIRE),
        ("network", cluster.network_bytes_per_second, _WIRE),
        ("link_latency", cluster.link_latency_seconds, _LATENCY),
        ("network_latency", cluster.network_latency_seconds, _LATENCY),
    ]
    for name, value, allowed in figures:
        if value is not None and name in cluster.spans:
            yield name, value, cluster.spans[name], allowed


def _diagnostic(name: str, value: float, span: Span, allowed: _Range) -> Diagnostic:
    low, high = allowed.text(allowed.lowest), allowed.text(allowed.highest)
    meant = allowed.meant(value)
    return CODE.at(
        span,
        f"a `{name}` of {allowed.text(value)} is far from that of any accelerator",
        f"not between {low} and {high}",
        help=("check its unit and prefix" + (f": is `{allowed.text(meant)}` meant?" if meant else ""),),
    )
