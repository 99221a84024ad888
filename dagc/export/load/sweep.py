"""Load against latency: percentiles of TTFT and TPOT at each load of a sweep, a row of two panels for each strategy.

A requirement is a line across, what misses it is shaded. The highest load that meets all requirements is a line up, and
so is the rate at which the deployment saturates. A mark is filled where its load meets all requirements, a cross where
it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

from dagc.export.load.plot import (
    LOG_FROM,
    MARGIN,
    STYLE,
    WIDE,
    LoadLimit,
    Plot,
    sample_line,
    shape,
    time_axis,
    time_text,
)
from dagc.export.svg_text import LINE, PlotAxis, cut, headed, picture, text, width
from dagc.metrics import TPOT, TTFT, Metric
from dagc.results.load import Saturation
from dagc.results.simulation import StrategyUnderLoad, Sweep, SweepPoint
from dagc.units import format_count

_DRAWN = (50, 99)
_COLUMN, _LEFT, _PLOT_WIDE, _PLOT_TALL = 472.0, 56.0, 386.0, 220.0
_REACH = 2.0
"""An axis is drawn out to a limit that is at most this factor beyond the values."""

_UNITS = {"rate": "arrival rate, requests/s", "concurrency": "concurrency, requests in flight"}


@dataclass(frozen=True, slots=True)
class SweptStrategy:
    """A strategy under the loads of a sweep, which is there, with limits to draw."""

    record: StrategyUnderLoad
    limits: tuple[LoadLimit, ...] = ()


def sweep_svg(strategies: Sequence[SweptStrategy]) -> str:
    """The picture of one strategy, or of several below each other."""
    lines = list[str]()
    y = draw_sweeps(lines, MARGIN, strategies)
    return picture("Latency by load", WIDE, y, STYLE, lines)


def draw_sweeps(lines: list[str], y: float, strategies: Sequence[SweptStrategy]) -> float:
    """Panels of each strategy that has a sweep from y on, in pixels; returns their lower end."""
    for one in strategies:
        sweep = one.record.sweep
        if sweep is not None and sweep.points:
            y = _strategy(lines, y, one, sweep)
    return y


def _strategy(lines: list[str], y: float, one: SweptStrategy, sweep: Sweep) -> float:
    title = f"Latency by load: {one.record.strategy}"
    y = headed(lines, MARGIN, y, WIDE - 2 * MARGIN, title, [" · ".join(_facts(one.record.load.saturation, sweep))])
    y = _legend(lines, y, sweep)
    bottoms = [_panel(lines, MARGIN + i * _COLUMN, y, metric, one, sweep) for i, metric in enumerate((TTFT, TPOT))]
    return max(bottoms) + LINE


def _facts(saturation: Saturation | None, sweep: Sweep) -> Iterator[str]:
    if sweep.highest is not None:
        load = f"{sweep.highest:.3g} requests/s" if sweep.over == "rate" else f"{sweep.highest:,.0f} in flight"
        yield f"highest load that meets all requirements: {load}"
    elif any(point.met is False for point in sweep.points):
        yield "no load meets all requirements"
    if saturation is not None:
        yield f"saturated at {saturation.requests_per_second:.3g} requests/s"
    yield f"{len(sweep.points)} loads"


def _legend(lines: list[str], y: float, sweep: Sweep) -> float:
    x = MARGIN
    for number, percent in enumerate(_DRAWN):
        lines += (sample_line(x, y + 8, number), text(x + 33, y + 12, "text", f"p{percent}"))
        x += 52 + width(f"p{percent}", "text")
    signs = {"met": ("circle", "met", "meets all requirements"), "missed": ("cross", "none", "misses one")}
    if any(point.met is None for point in sweep.points):
        is_judged = any(point.met is not None for point in sweep.points)
        signs["open"] = ("circle", "none", "not judged" if is_judged else "no requirements")
    for is_met, key in ((True, "met"), (False, "missed"), (None, "open")):
        if any(point.met is is_met for point in sweep.points):
            kind, state, words = signs[key]
            lines += (shape(kind, state, x + 6, y + 8), text(x + 17, y + 12, "text", words))
            x += 36 + width(words, "text")
    return y + LINE + 8


def _panel(lines: list[str], left: float, y: float, metric: Metric, one: SweptStrategy, sweep: Sweep) -> float:
    """One figure; returns its lower end."""
    limits = [limit for limit in one.limits if limit.figure == metric.name]
    found = {percent: _values(sweep, metric, percent) for percent in _DRAWN}
    values = [value for pairs in found.values() for _, value in pairs]
    lines.append(text(left, y + 12, "title", metric.title))
    words = "   ".join(limit.text for limit in limits)
    beside = _LEFT + _PLOT_WIDE - width(metric.title, "title") - 12
    lines.append(text(left + _LEFT + _PLOT_WIDE, y + 12, "small bad", cut(words, beside, "small"), "end"))
    if not values:
        lines.append(text(left, y + 36, "text muted", "no load has a figure"))
        return y + 44
    saturation = one.record.load.saturation
    saturated = saturation.requests_per_second if saturation and sweep.over == "rate" else None
    across = _loads(sweep, saturated)
    plot = Plot(left + _LEFT, y + 42, across, _times(values, [limit.seconds for limit in limits]))
    lines += plot.frame(format_count, time_text)
    lines.append(text(plot.left + _PLOT_WIDE / 2, plot.bottom + 32, "small muted", _UNITS[sweep.over], "middle"))
    for limit in limits:
        lines += _limit(plot, limit)
    lines += _uprights(plot, sweep, saturated)
    for number, percent in enumerate(_DRAWN):
        lines.append(plot.curve([(plot.x(load), plot.y(value)) for load, value in found[percent]], number))
    states = {point.load: point.met for point in sweep.points}
    for pairs in found.values():
        lines += (_mark(states[load], plot.x(load), plot.y(value)) for load, value in pairs)
    return plot.bottom + 44


def _mark(is_met: bool | None, x: float, y: float) -> str:
    return shape("cross" if is_met is False else "circle", "met" if is_met else "none", x, y)


def _values(sweep: Sweep, metric: Metric, percent: int) -> list[tuple[float, float]]:
    """Loads and figures above 0 of one percentile."""

    def figures(point: SweepPoint) -> dict[str, float | None]:
        return point.ttft_seconds if metric is TTFT else point.tpot_seconds

    pairs = ((point.load, figures(point).get(f"p{percent}")) for point in sweep.points)
    return [(load, value) for load, value in pairs if value is not None and value > 0]


def _loads(sweep: Sweep, saturated: float | None) -> PlotAxis:
    loads = [point.load for point in sweep.points]
    low, high = min(loads), max(*loads, saturated or 0.0)
    if sweep.over == "concurrency" and high > LOG_FROM * low:
        room = 0.04 * log(high / low)
        return PlotAxis(log(low) - room, log(high) + room, _PLOT_WIDE, is_log=True)
    return PlotAxis(0.0, high * 1.04, _PLOT_WIDE)


def _times(values: Sequence[float], limits: Sequence[float]) -> PlotAxis:
    low, high = min(values), max(values)
    near = [one for one in limits if low / _REACH <= one <= high * _REACH]
    low, high = min([low, *near]), max([high, *near])
    return time_axis([low, high], _PLOT_TALL, True) if high > LOG_FROM * low else PlotAxis(0.0, high * 1.06, _PLOT_TALL)


def _limit(plot: Plot, limit: LoadLimit) -> list[str]:
    """A line across, and what is above it shaded; nothing where it is beyond the axis."""
    if not 0 <= plot.up.at(limit.seconds) <= plot.up.length:
        return []
    y = plot.y(limit.seconds)
    size = f'width="{plot.across.length:g}" height="{y - plot.top:.1f}"'
    return [
        f'<rect class="missed" x="{plot.left:g}" y="{plot.top:g}" {size}/>',
        f'<line class="limit" x1="{plot.left:g}" y1="{y:g}" x2="{plot.right:g}" y2="{y:g}"/>',
    ]


def _uprights(plot: Plot, sweep: Sweep, saturated: float | None) -> Iterator[str]:
    """The highest load and the saturated rate, with words above the plot, in one line where both fit."""
    named = [
        ("highest", "highest that meets all", sweep.highest),
        ("saturated", "saturated", saturated),
    ]
    shown = [(kind, words, plot.x(load)) for kind, words, load in named if load]
    edges = (plot.left, plot.right)
    taken: list[tuple[float, float]] = []
    for kind, words, x in reversed(shown):
        dashes = ' stroke-dasharray="2 3"' if kind == "saturated" else ""
        line = f'x1="{x:g}" y1="{plot.top - 4:g}" x2="{x:g}" y2="{plot.bottom:g}"'
        yield f'<line class="mark none" {line}{dashes}/>'
        wide = width(words, "small")
        left = min(max(x - wide / 2, edges[0]), edges[1] - wide)
        if taken and left + wide > taken[-1][0] - 10:
            left = taken[-1][0] - 10 - wide
        taken.append((left, left + wide))
        yield text(round(left, 1), plot.top - 7, "small", words)
