"""Where the time goes and what is sent: timeline, rooflines, operators and communication, a part for each phase.

The roofline of a phase: each operator by its FLOP a byte and the rate that it achieves, under the device's peaks.

Turns operators and devices into SVG on logarithmic axes. A disc's area is the operator's share of the phase's work; one
that is latency-bound is hollow. The names of those that take longest are beside them where there is room. Source of
the plot: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model" (2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import atan2, ceil, degrees, floor, hypot, log, log10, sqrt

from markupsafe import Markup

from dagc.catalog.device import DeviceSpec
from dagc.export.labels import BELOW, Label, along, around_point, leader, led, room
from dagc.export.operators import Operator, operators
from dagc.export.page.fold import css, drawn_lanes, legend, phase_lanes
from dagc.export.page.markup import joined, scrolled, table, tag, zoom_buttons
from dagc.export.svg_text import fixed_width
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced, tracks
from dagc.export.traffic import Traffic, traffic
from dagc.graph.priced import PICOSECONDS, Bound
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.results.serving import bound_text
from dagc.schedule.timeline import Timeline
from dagc.units import format_bytes, format_count, format_rate, format_seconds, format_share

_TITLES = {"prefill": "Prefill of the batch", "handover": "KV-cache transfer", "decode": "One decode step"}
_HEADS = ("operator", "time", "share", "executions", "FLOP", "bytes", "FLOP/byte", "rate", "bound", "source")


def timeline(traced: Traced) -> Markup:
    """A picture for each phase, with one rank of each kind that behaves alike."""
    hint = tag("p", "One rank per group of equivalent ranks: computation above, communication below. ",
               "Drag to move, buttons or + and − to zoom; the trace holds every operator.", class_="hint")  # fmt: skip
    phases = zip(_phases(traced), tracks(traced, None), strict=True)
    drawn = (_zoomable(drawn_lanes(_headed(title, one), phase_lanes(shown))) for (title, one), shown in phases)
    return joined((hint, legend(), drawn))


def roofs(traced: Traced) -> Markup:
    """A roofline and a table for each phase that computes."""
    devices = {pool.name: traced.plan.device_of(pool) for s in traced.plan.deployment.services for pool in s.pools}
    plots, tables = Markup(""), Markup("")
    for title, one in _phases(traced):
        found = operators(one)
        plots += drawn_roofline(title, found, _devices(one, devices)) or Markup("")
        tables += _table(title, found)
    search = tag("input", type="search", placeholder="Filter operators", aria_label="Filter operators", class_="filter")
    key = (
        "Time of the slowest rank over all stages, layers and micro-batches; the area of a disc is its share of that "
        "time; a hollow one is latency-bound. Lines are datasheet peaks."
    )
    hint = tag("p", key, class_="hint")
    return joined((hint, tag("div", plots, class_="pair"), tag("div", search, class_="toolbar"), tables))


def communication(traced: Traced) -> Markup:
    """A matrix for each phase."""
    per_node = traced.plan.facts.cluster.gpus_per_node
    hint = tag("p", "Bytes from ranks (rows) to ranks (columns) by the definition of each collective, "
               "independent of its algorithm.", class_="hint")  # fmt: skip
    drawn = [
        drawn_matrix(_replicated(title, one), traffic(one.priced.graph, per_node)) for title, one in _phases(traced)
    ]
    return joined((hint, drawn)) if any(drawn) else Markup("")


def _phases(traced: Traced) -> Iterator[tuple[str, Timeline]]:
    for name, one in zip(phase_names(traced.graph), traced.timelines, strict=True):
        yield _title(name, traced.plan), one


def _title(name: str, plan: Plan) -> str:
    """Where requests come and go, no batch is prefilled at once."""
    if name == "prefill" and plan.facts.workload.concurrency is not None:
        return "Prefill of one prompt on each dp rank of attention"
    return _TITLES[name]


def _replicated(title: str, one: Timeline) -> str:
    alike = len(one.priced.graph.replicas)
    return f"{title}, one of {alike} replicas" if alike > 1 else title


def _headed(title: str, one: Timeline) -> str:
    """A phase of several stages begins with an idle pipeline; the host's time is not drawn."""
    is_pipeline = one.priced.graph.phase is Phase.DECODE and len(one.priced.graph.programs[0]) > 1
    begins = ", single step" if is_pipeline else ""
    return f"{title}{begins}: {format_seconds(one.makespan / PICOSECONDS)} on the GPUs"


def _zoomable(figure: Markup) -> Markup:
    bar = tag("div", zoom_buttons("data_time", "in", "out", "all"), class_="toolbar")
    return tag("div", bar, figure, class_="timeline", tabindex="0")


def _devices(one: Timeline, devices: dict[str, DeviceSpec]) -> list[DeviceSpec]:
    """The devices that a phase runs on, each once."""
    pools = (devices[team.pool] for team in one.priced.graph.teams if team.pool in devices)
    return list({device.name: device for device in pools}.values())


def _table(title: str, found: Sequence[Operator]) -> Markup:
    whole = sum(one.seconds for one in found) or 1.0
    sources = list(dict.fromkeys(one.source for one in found))
    rows = (_row(one, whole, sources.index(one.source) + 1) for one in found)
    region = scrolled(f"Operators, {title}", table(_HEADS, rows, class_="operators"))
    listed = tag("ol", (tag("li", source) for source in sources), class_="sources", aria_label="Sources")
    heading = tag("summary", f"{title}: {len(found)} operators")
    return tag("details", heading, region, listed, open=title == _TITLES["decode"])


def _row(one: Operator, whole: float, source: int) -> Markup:
    pattern = f"{one.pattern.value.replace('_', ' ')} of {one.group}" if one.pattern and one.group > 1 else None
    swatch = tag("span", class_=f"swatch {css(one.kind)}", title=one.kind.value)
    name = tag("th", swatch, one.key, tag("small", pattern), scope="row", title=one.title)
    rate = (
        format_rate(one.flops_per_second, "flop/s")
        if one.flops
        else (format_rate(one.bytes / one.seconds, "bytes/s") if one.bytes and one.seconds else "–")
    )
    numbers = (
        format_seconds(one.seconds), format_share(one.seconds / whole), f"{one.executions:,}",
        format_count(one.flops) if one.flops else "–", format_bytes(one.bytes) if one.bytes else "–",
        format_count(one.intensity) if one.intensity else "–", rate,
    )  # fmt: skip
    return tag(
        "tr", name, (tag("td", cell) for cell in numbers), tag("td", one.bound), tag("td", source, title=one.source)
    )


_SHADES = 8


def drawn_matrix(title: str, found: Traffic) -> Markup | None:
    """Who sends how much to whom in a phase, blocks of ranks against each other; None where nothing is sent.

    Cells are shaded by the logarithm of their bytes, and have them as text.
    """
    if not found.total:
        return None
    names = [(str(first) if first == last else f"{first}–{last}") for first, last in found.ranks]
    rows = (tag("tr", tag("th", name, scope="row"), _cells(found, i, names)) for i, name in enumerate(names))
    amount = (
        f"{format_bytes(found.total)} between ranks, {format_share(found.between_nodes / found.total)} between nodes"
    )
    of_ranks = f"; blocks of {found.block} ranks" if found.block > 1 else ""
    caption = tag("figcaption", tag("h3", title), tag("p", amount + of_ranks, class_="hint"))
    return tag("figure", caption, scrolled(title, table(("", *names), rows, class_="matrix")))


def _cells(found: Traffic, row: int, names: list[str]) -> Markup:
    whole = Markup("")
    for column, name in enumerate(names):
        sent = float(found.sent[row, column])
        title = f"{names[row]} to {name}: {format_bytes(sent)}" if sent > 0.5 else None
        words = format_bytes(sent) if title else None
        number, _, unit = (words or "").partition(" ")
        whole += tag("td", number, tag("small", unit) if unit else None, class_=_shade(found, sent), title=title)
    return whole


def _shade(found: Traffic, sent: float) -> str | None:
    """A shade a factor of 2, the darkest for the most."""
    if sent <= 0.5:
        return None
    return f"s{max(1, _SHADES - int(log(float(found.sent.max()) / sent, 2)))}"


_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 580, 380, 74, 74, 14, 40
_NAMED = 9
_MINIMUM = 1e-3
"""Share of the time below which an operator is not drawn."""

_LINE = 12
_ALONG = 0.55
"""How far up its slope the rate of a memory is written."""

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
    computing = [operator for operator in operators if operator.intensity and operator.flops_per_second]
    whole = sum(one.seconds for one in computing)
    points = [one for one in computing if one.seconds >= _MINIMUM * whole]
    known = [device for device in devices if device.bandwidth_bytes_per_second and device.flops]
    if not points or not known:
        return None
    types = sorted({one.dtype for one in points})
    scale = _scale(points, known)
    discs = [_disc(point, scale, whole) for point in points]
    body = (
        _grid(scale),
        _roofs(scale, known, types),
        [_drawn(disc, whole) for disc in discs],
        _names(discs, list(_lines(scale, known, types)), list(_rates(scale, known, types))),
    )
    picture = tag(
        "svg", body, class_="roofline", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=f"Roofline of {title}"
    )
    return tag("figure", tag("figcaption", tag("h3", title)), picture)


def _scale(points: Sequence[Operator], devices: Sequence[DeviceSpec]) -> _Scale:
    intensities = [point.intensity or 1.0 for point in points]
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
        yield _text(format_rate(10.0**power, "flop/s"), _LEFT - 6, y + 4, text_anchor="end")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield tag("text", "FLOP for each byte of memory traffic", x=middle, y=_HEIGHT - 8, text_anchor="middle")


def _roofs(scale: _Scale, devices: Sequence[DeviceSpec], types: Sequence[str]) -> Iterator[Markup]:
    """The slope of each device's bandwidth, and a level for each of its peaks that an operator computes in."""
    levels: list[tuple[float, str]] = []
    for device in devices:
        bandwidth = device.bandwidth_bytes_per_second or 1.0
        slope = _slope(scale, device, types)
        yield _line(device, *slope)
        yield _bandwidth(*slope, bandwidth)
        for name, peak in _peaks(device, types).items():
            x, y = scale.x(peak / bandwidth), scale.y(peak)
            yield _line(device, x, y, _WIDTH - _RIGHT, y)
            levels.append((y, f"{name} {_peak(peak)}" + (f" {device.name}" if len(devices) > 1 else "")))
    lowest = 0.0
    for y, words in sorted(levels):
        lowest = max(y, lowest)
        yield _text(words, _WIDTH - _RIGHT + 4, lowest + 4)
        lowest += _LINE


def _lines(scale: _Scale, devices: Sequence[DeviceSpec], types: Sequence[str]) -> Iterator[Label]:
    """Where the lines of the devices are."""
    for device in devices:
        yield from along(*_slope(scale, device, types))
        for peak in _peaks(device, types).values():
            level = scale.y(peak)
            yield from along(scale.x(peak / (device.bandwidth_bytes_per_second or 1.0)), level, _WIDTH - _RIGHT, level)


def _rates(scale: _Scale, devices: Sequence[DeviceSpec], types: Sequence[str]) -> Iterator[Label]:
    """Where the rates of the memories are written."""
    for device in devices:
        x1, y1, x2, y2 = _slope(scale, device, types)
        x, y, run = x1 + (x2 - x1) * _ALONG, y1 + (y2 - y1) * _ALONG, 55 / max(hypot(x2 - x1, y2 - y1), 1.0)
        yield from along(x, y - 10, x + (x2 - x1) * run, y + (y2 - y1) * run - 10, 5.0)


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
    title = format_rate(bandwidth, "bytes/s")
    return _text(title, x, y, transform=f"rotate({turn:.1f} {x:.1f} {y:.1f})")


def _text(words: str, x: float, y: float, **attributes: str) -> Markup:
    return tag("text", words, x=x, y=y, class_="minor", **fixed_width(words, "small"), **attributes)


def _peak(peak: float) -> str:
    """A rate without its unit, which the axis names."""
    return format_rate(peak, "flop/s").removesuffix("FLOP/s")


def _origin(device: DeviceSpec) -> str:
    return f"{device.name}: {format_rate(device.bandwidth_bytes_per_second or 0.0, 'bytes/s')}; {device.source}"


def _drawn(disc: _Disc, whole: float) -> Markup:
    one = disc.operator
    title = (
        f"{one.key}: {format_rate(one.flops_per_second, 'flop/s')} at {format_count(one.intensity or 0.0)} FLOP/byte, "
        f"{format_seconds(one.seconds)} ({format_share(one.seconds / whole)}), {bound_text(one.bound)}"
    )
    waits = " waits" if one.bound == Bound.LATENCY else ""
    return tag(
        "circle", tag("title", title), cx=disc.x, cy=disc.y, r=disc.radius, class_=f"disc {css(one.kind)}{waits}"
    )


def _names(discs: Sequence[_Disc], lines: Sequence[Label], rates: Sequence[Label]) -> Iterator[Markup]:
    """Names of the discs that take most time, where they cover no line, disc or other name; those that are not
    beside their disc have a line to it.
    """
    frame = (_LEFT + 2.0, _TOP - 6.0, _WIDTH - _RIGHT - 2.0, _HEIGHT - _BOTTOM - 2.0)
    taken = [*lines, *rates, *(around_point(disc.x, disc.y, disc.radius) for disc in discs)]
    written = list(rates)
    for disc in discs[:_NAMED]:
        at = disc.x, disc.y, disc.radius
        box = room(*at, disc.operator.key, frame, taken, uncrossed=written)
        if box is None:
            continue
        taken += (box, *led(*at, box))
        written.append(box)
        end = leader(*at, box)
        if end:
            yield tag("line", x1=disc.x, y1=disc.y, x2=end[0], y2=end[1], class_="leader")
        yield _text(disc.operator.key, box[0], box[3] - BELOW)
