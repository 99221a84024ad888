"""Distributions of the times of simulated requests: of TTFT, TPOT, ITL and end-to-end latency a panel each.

A curve is the share of requests (of ITL: of gaps between two tokens) whose time is at most that of the axis, with p50,
p90 and p99 marked; the figures are below. A limit on a percentile is a region that no curve which keeps it enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dagc.export.load.plot import (
    LOG_FROM,
    MARGIN,
    MOST_CURVES,
    STYLE,
    WIDE,
    LoadLimit,
    Plot,
    Points,
    sample_line,
    shape,
    time_axis,
    time_text,
)
from dagc.export.svg_text import LINE, PlotAxis, cut, headed, picture, text, width
from dagc.export.text.context import MARKS
from dagc.metrics import E2E, ITL, TPOT, TTFT
from dagc.simulate.load import LoadRun, Sample
from dagc.units import format_seconds

FIGURES = (TTFT, TPOT, ITL, E2E)
_MARKED = ((50, "circle"), (90, "square"), (99, "diamond"))
_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
_COLUMN, _LEFT, _PLOT_WIDE, _PLOT_TALL = 472.0, 46.0, 396.0, 190.0
_EDGE = 0.001
"""Share of the values that may be beyond each end of the axis."""

_SHORTEST = 0.2
"""Length of an axis by its upper end, at least."""

_REACH = 3.0
"""An axis is drawn out to a limit that is at most this factor beyond the values."""


@dataclass(frozen=True, slots=True)
class SimulatedStrategy:
    """A strategy's run, with its name, its arrivals in words, and the limits on its times."""

    name: str
    arrivals: str
    run: LoadRun
    limits: tuple[LoadLimit, ...] = ()


def distributions_svg(strategies: Sequence[SimulatedStrategy]) -> str:
    """The picture of all strategies, `MOST_CURVES` at most; it says how many it leaves out."""
    lines = list[str]()
    y = draw_distributions(lines, MARGIN, strategies)
    return picture("Distribution of request times", WIDE, y, STYLE, lines)


def draw_distributions(lines: list[str], y: float, strategies: Sequence[SimulatedStrategy]) -> float:
    """The four panels from y on, in pixels; returns their lower end."""
    shown = strategies[:MOST_CURVES]
    left_out = len(strategies) - len(shown)
    many = f", {left_out} more not drawn" if left_out else ""
    title = f"Distribution of request times: {', '.join(one.name for one in shown)}{many}"
    context = [f"{one.name}: {one.arrivals} · {one.run.counted.sum():,} requests" for one in shown]
    y = headed(lines, MARGIN, y, WIDE - 2 * MARGIN, title, context)
    y = _legend(lines, y)
    for first in range(0, len(FIGURES), 2):
        y = max(_panel(lines, MARGIN + i * _COLUMN, y, FIGURES[first + i].name, shown) for i in range(2)) + LINE
    return y


def _legend(lines: list[str], y: float) -> float:
    x = MARGIN
    for percent, kind in _MARKED:
        lines += (shape(kind, "met", x + 6, y + 8), text(x + 17, y + 12, "text", f"p{percent}"))
        x += 34 + width(f"p{percent}", "text")
    note = "share of requests (ITL: of gaps between tokens) at or below a time; shaded: where a limit is missed"
    lines.append(text(x, y + 12, "text muted", note))
    return y + LINE + 8


def _panel(lines: list[str], left: float, y: float, figure: str, shown: Sequence[SimulatedStrategy]) -> float:
    """One figure of all strategies; returns its lower end."""
    metric = next(one for one in FIGURES if one.name == figure)
    samples: list[Sample] = [getattr(one.run, figure) for one in shown]
    limits = dict.fromkeys(limit for one in shown for limit in one.limits if limit.figure == figure)
    words = [_limit_words(limit, samples) for limit in limits]
    most = _LEFT + _PLOT_WIDE
    lines.append(text(left, y + 12, "title", cut(metric.title, most, "title")))
    beside = most - width(metric.title, "title") - 12
    if words and beside > 60:
        lines.append(text(left + most, y + 12, "small", cut("   ".join(words), beside, "small"), "end"))
    if not any(len(sample.values) for sample in samples):
        lines.append(text(left, y + 36, "text muted", "no request has more than one token"))
        return y + 40
    axis = _axis([one for one in samples if len(one.values)], [limit.seconds for limit in limits])
    plot = Plot(left + _LEFT, y + 26, axis, PlotAxis(0.0, 1.0, _PLOT_TALL))
    lines += plot.frame(time_text, lambda share: f"{share * 100:g} %", _SHARES)
    for limit in limits:
        lines += _limit(plot, limit)
    for number, sample in enumerate(samples):
        lines.append(plot.curve(_cumulative(plot, sample), number))
    for number, sample in enumerate(samples):
        lines += _marks(plot, sample, number)
    return _figures(lines, left, plot.bottom + 22, shown, samples)


def _limit_words(limit: LoadLimit, samples: Sequence[Sample]) -> str:
    """The limit, with its verdict where it is of one strategy."""
    if len(samples) > 1 or not len(samples[0].values):
        return limit.text
    return f"{MARKS[samples[0].quantile(limit.percentile / 100) <= limit.seconds]} {limit.text}"


def _axis(samples: Sequence[Sample], limits: Sequence[float]) -> PlotAxis:
    """An axis over nearly all values, and over the limits that are not far from them."""
    low = min(sample.quantile(_EDGE) for sample in samples)
    high = max(sample.quantile(1 - _EDGE) for sample in samples)
    low = max(low, high / 1e6)
    near = [one for one in limits if low / _REACH <= one <= high * _REACH]
    low, high = min([low, *near]), max([high, *near])
    # Labels have three digits, so an axis that is shorter would repeat them.
    low, high = low - max(0.0, _SHORTEST * high - (high - low)), high
    return time_axis([low, high], _PLOT_WIDE, low > 0 and high > LOG_FROM * low)


def _limit(plot: Plot, limit: LoadLimit) -> list[str]:
    """The region right of a limit and below its percentile; nothing where it is beyond the axis."""
    place = plot.across.at(limit.seconds)
    if not 0 <= place <= plot.across.length:
        return []
    x, y = plot.x(limit.seconds), plot.y(limit.percentile / 100)
    size = f'width="{plot.right - x:.1f}" height="{plot.bottom - y:.1f}"'
    return [
        f'<rect class="missed" x="{x:g}" y="{y:g}" {size}/>',
        f'<line class="limit" x1="{x:g}" y1="{y:g}" x2="{x:g}" y2="{plot.bottom:g}"/>',
        f'<line class="limit" x1="{x:g}" y1="{y:g}" x2="{plot.right:g}" y2="{y:g}"/>',
    ]


def _cumulative(plot: Plot, sample: Sample) -> Points:
    """Shares at each pixel of the axis; consecutive pixels of one share are its first and its last."""
    if not len(sample.values):
        return []
    pixels = np.arange(0.0, plot.across.length + 0.5)
    places = plot.across.first + (plot.across.last - plot.across.first) * pixels / plot.across.length
    order = np.argsort(sample.values, kind="stable")
    counts = np.cumsum(sample.weights[order]) if sample.weights is not None else np.arange(1, len(order) + 1)
    turned = np.exp(places) if plot.across.is_log else places
    found = np.searchsorted(sample.values[order], turned, side="right")
    share = np.where(found > 0, counts[np.maximum(found - 1, 0)] / counts[-1], 0.0)
    is_kept = np.ones(len(share), dtype=np.bool_)
    is_kept[1:-1] = (share[1:-1] != share[:-2]) | (share[1:-1] != share[2:])
    return [
        (plot.left + x, plot.bottom - y * plot.up.length) for x, y in zip(pixels[is_kept], share[is_kept], strict=True)
    ]


def _marks(plot: Plot, sample: Sample, number: int) -> list[str]:
    if not len(sample.values):
        return []
    return [
        shape(kind, number, plot.x(value), plot.y(percent / 100))
        for percent, kind in _MARKED
        for value in [sample.quantile(percent / 100)]
    ]


def _figures(
    lines: list[str], left: float, y: float, shown: Sequence[SimulatedStrategy], samples: Sequence[Sample]
) -> float:
    """Percentiles of each strategy in a line of their own."""
    for number, (one, sample) in enumerate(zip(shown, samples, strict=True)):
        words = "–"
        if len(sample.values):
            values = (f"p{percent} {format_seconds(sample.quantile(percent / 100))}" for percent, _ in _MARKED)
            words = "   ".join(values)
        lines.append(sample_line(left, y + 8, number))
        room = _LEFT + _PLOT_WIDE - 34
        taken = width(words, "small")
        lines.append(text(left + 34, y + 12, "small", cut(one.name, room - taken - 12, "small")))
        lines.append(text(left + _LEFT + _PLOT_WIDE, y + 12, "small", words, "end"))
        y += LINE
    return y
