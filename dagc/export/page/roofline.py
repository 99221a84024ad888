"""The roofline of a phase: each operator by its FLOP a byte and the rate that it achieves, under the device's peaks.

Turns operators and devices into SVG on logarithmic axes. A disc's area is the operator's share of the phase's work;
the names of those that take longest stand beside them where there is room. Source of the plot: Williams, Waterman,
Patterson, "Roofline: an insightful visual performance model" (2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt

from markupsafe import Markup

from dagc.catalog.device import DeviceSpec
from dagc.export.page.kinds import kind_of
from dagc.export.page.markup import tag
from dagc.report.operators import Operator
from dagc.units import format_count, format_rate, format_seconds, format_share

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 380, 74, 12, 14, 40
_NAMED = 9
_LETTER, _LINE = 5.6, 12
_LARGEST, _SMALLEST = 13.0, 3.0


@dataclass(frozen=True, slots=True)
class _Scale:
    """Powers of ten at the edges."""

    left: float
    right: float
    low: float
    high: float

    def x(self, intensity: float) -> float:
        return _LEFT + (log10(intensity) - self.left) / (self.right - self.left) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, rate: float) -> float:
        bottom = _HEIGHT - _BOTTOM
        return bottom - (log10(rate) - self.low) / (self.high - self.low) * (bottom - _TOP)


@dataclass(frozen=True, slots=True)
class _Disc:
    operator: Operator
    x: float
    y: float
    radius: float


def drawn_roofline(title: str, operators: Sequence[Operator], devices: Sequence[DeviceSpec]) -> Markup | None:
    """The plot of one phase; None where nothing computes or no peak is known."""
    points = [one for one in operators if one.intensity and one.flops_per_second]
    known = [device for device in devices if device.bandwidth_bytes_per_second and device.flops]
    if not points or not known:
        return None
    types = sorted({one.dtype for one in points})
    scale = _scale(points, known)
    whole = sum(one.seconds for one in points)
    discs = [_disc(one, scale, whole) for one in points]
    body = (_grid(scale), _roofs(scale, known, types), [_drawn(disc, whole) for disc in discs], _names(discs))
    picture = tag(
        "svg", body, class_="roofline", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=f"Roofline of {title}"
    )
    return tag("figure", tag("figcaption", tag("h3", title)), picture)


def _scale(points: Sequence[Operator], devices: Sequence[DeviceSpec]) -> _Scale:
    intensities = [one.intensity or 1.0 for one in points]
    rates = [one.flops_per_second for one in points]
    peaks = [peak for device in devices for peak in device.flops.values()]
    ridge = max(max(device.flops.values()) / (device.bandwidth_bytes_per_second or 1.0) for device in devices)
    left, right = floor(log10(min(intensities))), ceil(log10(max(*intensities, ridge)) + 0.2)
    low, high = floor(log10(min(rates))), log10(max(*peaks, *rates)) + 0.25
    return _Scale(left, right, low, high)


def _disc(one: Operator, scale: _Scale, whole: float) -> _Disc:
    radius = max(_SMALLEST, _LARGEST * sqrt(one.seconds / whole))
    return _Disc(one, scale.x(one.intensity or 1.0), scale.y(one.flops_per_second), radius)


def _grid(scale: _Scale) -> Iterator[Markup]:
    bottom = _HEIGHT - _BOTTOM
    for power in range(int(scale.left), int(scale.right) + 1):
        x = scale.x(10.0**power)
        yield tag("line", x1=x, x2=x, y1=_TOP, y2=bottom, class_="grid")
        yield tag("text", f"{10.0**power:g}", x=x, y=bottom + 14, text_anchor="middle", class_="minor")
    for power in range(int(scale.low), floor(scale.high) + 1):
        y = scale.y(10.0**power)
        yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
        yield tag("text", format_rate(10.0**power, "flop/s"), x=_LEFT - 6, y=y + 4, text_anchor="end", class_="minor")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield tag("text", "FLOP for each byte of memory traffic", x=middle, y=_HEIGHT - 8, text_anchor="middle")


def _roofs(scale: _Scale, devices: Sequence[DeviceSpec], types: Sequence[str]) -> Iterator[Markup]:
    """The slope of each device's bandwidth, and a level for each of its peaks that an operator computes in."""
    for device in devices:
        bandwidth = device.bandwidth_bytes_per_second or 1.0
        peaks = {dtype.value: peak for dtype, peak in device.flops.items() if dtype.value in types}
        peaks = peaks or {dtype.value: peak for dtype, peak in device.flops.items()}
        start = max(10.0**scale.left, 10.0**scale.low / bandwidth)
        top = max(peaks.values())
        line = {"x1": scale.x(start), "y1": scale.y(start * bandwidth), "x2": scale.x(top / bandwidth)}
        yield tag("line", tag("title", _origin(device)), **line, y2=scale.y(top), class_="roof")
        for name, peak in peaks.items():
            x, y = scale.x(peak / bandwidth), scale.y(peak)
            yield tag("line", tag("title", _origin(device)), x1=x, y1=y, x2=_WIDTH - _RIGHT, y2=y, class_="roof")
            told = f"{name} {format_rate(peak, 'flop/s')}" + (f" {device.name}" if len(devices) > 1 else "")
            yield tag("text", told, x=_WIDTH - _RIGHT - 2, y=y - 4, text_anchor="end", class_="minor")


def _origin(device: DeviceSpec) -> str:
    return f"{device.name}: {format_rate(device.bandwidth_bytes_per_second or 0.0, 'bytes/s')}; {device.source}"


def _drawn(disc: _Disc, whole: float) -> Markup:
    one = disc.operator
    kind = kind_of(one.key, one.category, one.pattern)
    told = (
        f"{one.key}: {format_rate(one.flops_per_second, 'flop/s')} at {format_count(one.intensity or 0.0)} FLOP/byte, "
        f"{format_seconds(one.seconds)} ({format_share(one.seconds / whole)}), bound by {one.bound}"
    )
    return tag("circle", tag("title", told), cx=disc.x, cy=disc.y, r=disc.radius, class_=f"disc {kind.css}")


def _names(discs: Sequence[_Disc]) -> Iterator[Markup]:
    """Names beside the discs that stand for most time, where they cover neither another name nor a disc's middle."""
    taken = [(disc.x - 3, disc.x + 3, disc.y - 3, disc.y + 3) for disc in discs]
    for disc in discs[:_NAMED]:
        wide = len(disc.operator.key) * _LETTER
        sides = ((disc.x + disc.radius + 3, "start"), (disc.x - disc.radius - 3, "end"))
        for x, anchor in sides:
            left = x if anchor == "start" else x - wide
            box = (left, left + wide, disc.y - _LINE / 2, disc.y + _LINE / 2)
            if left < _LEFT or left + wide > _WIDTH - _RIGHT or any(_meet(box, other) for other in taken):
                continue
            taken.append(box)
            yield tag("text", disc.operator.key, x=x, y=disc.y + 4, text_anchor=anchor, class_="minor")
            break


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
