"""The roofline of a phase: each operator by its FLOP a byte and the rate that it achieves, under the device's peaks.

Turns operators and devices into SVG on logarithmic axes. A disc's area is the operator's share of the phase's work;
the names of those that take longest stand beside them where there is room. Source of the plot: Williams, Waterman,
Patterson, "Roofline: an insightful visual performance model" (2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import atan2, ceil, degrees, floor, hypot, log10, sqrt

from markupsafe import Markup

from dagc.catalog.device import DeviceSpec
from dagc.export.page.kinds import kind_of
from dagc.export.page.markup import tag
from dagc.report.operators import Operator
from dagc.report.token_time import bound_text
from dagc.units import format_count, format_rate, format_seconds, format_share

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 580, 380, 74, 74, 14, 40
_NAMED = 9
_LEAST = 1e-3
"""Share of the time below which an operator is not drawn."""

_LETTER, _LINE = 6.3, 12
_ALONG = 0.55
"""How far up its slope the rate of a memory is written."""

_Box = tuple[float, float, float, float]
"""Left, right, top, bottom."""

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
    computing = [one for one in operators if one.intensity and one.flops_per_second]
    whole = sum(one.seconds for one in computing)
    points = [one for one in computing if one.seconds >= _LEAST * whole]
    known = [device for device in devices if device.bandwidth_bytes_per_second and device.flops]
    if not points or not known:
        return None
    types = sorted({one.dtype for one in points})
    scale = _scale(points, known)
    discs = [_disc(one, scale, whole) for one in points]
    body = (
        _grid(scale),
        _roofs(scale, known, types),
        [_drawn(disc, whole) for disc in discs],
        _names(discs, _slopes(scale, known, types)),
    )
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
        peaks = _peaks(device, types)
        slope = _slope(scale, device, types)
        yield _line(device, *slope)
        yield _bandwidth(*slope, bandwidth)
        for name, peak in peaks.items():
            x, y = scale.x(peak / bandwidth), scale.y(peak)
            yield _line(device, x, y, _WIDTH - _RIGHT, y)
            told = f"{name} {_peak(peak)}" + (f" {device.name}" if len(devices) > 1 else "")
            yield tag("text", told, x=_WIDTH - _RIGHT + 4, y=y + 4, class_="minor")


def _peaks(device: DeviceSpec, types: Sequence[str]) -> dict[str, float]:
    """Those of the types that are computed in, or all."""
    of_all = {dtype.value: peak for dtype, peak in device.flops.items()}
    return {name: peak for name, peak in of_all.items() if name in types} or of_all


def _slope(scale: _Scale, device: DeviceSpec, types: Sequence[str]) -> tuple[float, float, float, float]:
    """Both ends of the line of a memory: x, y, x, y."""
    bandwidth = device.bandwidth_bytes_per_second or 1.0
    start, top = max(10.0**scale.left, 10.0**scale.low / bandwidth), max(_peaks(device, types).values())
    return scale.x(start), scale.y(start * bandwidth), scale.x(top / bandwidth), scale.y(top)


def _line(device: DeviceSpec, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return tag("line", tag("title", _origin(device)), x1=x1, y1=y1, x2=x2, y2=y2, class_="roof")


def _bandwidth(x1: float, y1: float, x2: float, y2: float, bandwidth: float) -> Markup:
    """The rate of the memory along its slope, above which no operator can be."""
    x, y = x1 + (x2 - x1) * _ALONG, y1 + (y2 - y1) * _ALONG - 6
    turn = degrees(atan2(y2 - y1, x2 - x1))
    told = format_rate(bandwidth, "bytes/s")
    return tag("text", told, x=x, y=y, transform=f"rotate({turn:.1f} {x:.1f} {y:.1f})", class_="minor")


def _peak(peak: float) -> str:
    """A rate without its unit, which the axis names."""
    return format_rate(peak, "flop/s").removesuffix("FLOP/s")


def _origin(device: DeviceSpec) -> str:
    return f"{device.name}: {format_rate(device.bandwidth_bytes_per_second or 0.0, 'bytes/s')}; {device.source}"


def _drawn(disc: _Disc, whole: float) -> Markup:
    one = disc.operator
    kind = kind_of(one.key, one.category, one.pattern)
    told = (
        f"{one.key}: {format_rate(one.flops_per_second, 'flop/s')} at {format_count(one.intensity or 0.0)} FLOP/byte, "
        f"{format_seconds(one.seconds)} ({format_share(one.seconds / whole)}), {bound_text(one.bound)}"
    )
    return tag("circle", tag("title", told), cx=disc.x, cy=disc.y, r=disc.radius, class_=f"disc {kind.css}")


def _slopes(scale: _Scale, devices: Sequence[DeviceSpec], types: Sequence[str]) -> list[_Box]:
    """Where the rates of the memories are written."""
    found: list[_Box] = []
    for device in devices:
        x1, y1, x2, y2 = _slope(scale, device, types)
        x, y = x1 + (x2 - x1) * _ALONG, y1 + (y2 - y1) * _ALONG
        run = 55 / max(hypot(x2 - x1, y2 - y1), 1.0)
        found.append((x - 8, x + (x2 - x1) * run, y + (y2 - y1) * run - 10, y))
    return found


def _names(discs: Sequence[_Disc], written: Sequence[_Box]) -> Iterator[Markup]:
    """Names beside the discs that stand for most time, where they cover neither another name nor a disc's middle."""
    taken = [*written, *((disc.x - 3, disc.x + 3, disc.y - 3, disc.y + 3) for disc in discs)]
    for disc in discs[:_NAMED]:
        wide = len(disc.operator.key) * _LETTER
        for left, middle in _places(disc, wide):
            box = (left, left + wide, middle - _LINE / 2, middle + _LINE / 2)
            if left > _LEFT and left + wide < _WIDTH - _RIGHT and not any(_meet(box, other) for other in taken):
                taken.append(box)
                yield tag("text", disc.operator.key, x=left, y=middle + 4, class_="minor")
                break


def _places(disc: _Disc, wide: float) -> Iterator[tuple[float, float]]:
    """Left edge and middle of a name: right of the disc, left, below, above."""
    away = disc.radius + 4
    yield disc.x + away, disc.y
    yield disc.x - away - wide, disc.y
    for y in (disc.y + away + _LINE / 2, disc.y - away - _LINE / 2):
        yield from ((x, y) for x in (disc.x - wide / 2, disc.x - wide, disc.x))


def _meet(a: _Box, b: _Box) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
