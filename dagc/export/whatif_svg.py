"""Sensitivities as a tornado picture: for each figure, the parameters that move it most, the strongest on top.

All bars of a picture are on one scale, changes of a figure in per cent, so that any two compare; hardware, workload and
strategy are apart, because ten per cent of a rate and twice the batch are not the same step.
Turns the document's effects into an SVG, the same bytes for the same input. Bars go to the left where the figure falls
and to the right where it rises; what is better is plain, what is worse is hatched. A bar that leaves the scale ends in
an arrow; the words beside it have the true number. A dark page turns the colours over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from dagc.export.svg_text import LINE, cut, dark, headed, picture, text, ticks, width
from dagc.export.text.context import MARKS, context
from dagc.export.text.whatif import NOTHING, percent
from dagc.metrics import TORNADO
from dagc.results.whatif import Effect, MetricRecord, Sensitivities
from dagc.units import format_gpus

MOST_PARAMETERS = 6
"""Rows of one kind for one figure; the picture says how many it leaves out."""

DRAWN = frozenset(one.name for one in TORNADO)
"""Figures that have a panel, where the plan has them."""

_WIDEST = 1.0
"""A change by this share reaches the end of the scale, however far others go."""

_MARGIN, _LEFT, _BARS, _RIGHT = 16, 276, 440, 262
_WIDTH = _MARGIN + _LEFT + _BARS + _RIGHT + _MARGIN
_MIDDLE = _MARGIN + _LEFT + _BARS / 2
_BAR, _GAP = 13, 14
_TICKS = 9


@dataclass(frozen=True, slots=True)
class _Row:
    """One parameter's bars: words for each change that the title does not say, and by how much the figure moves."""

    title: str
    bars: tuple[tuple[str, float], ...]

    @property
    def strength(self) -> float:
        return max(abs(moved) for _, moved in self.bars)

    @property
    def tall(self) -> int:
        """Lines of bars: two that go apart are on one."""
        return len(self.bars) - (len(self.bars) == 2 and self.bars[0][1] * self.bars[1][1] < 0)


def whatif_svg(strategies: Sequence[Sensitivities]) -> str:
    """The picture of one strategy, or of several below each other."""
    y, lines = float(_MARGIN), [_HATCH]
    scale = _scale(strategies)
    for strategy in strategies:
        y = _strategy(lines, y, strategy, scale)
    return picture("Sensitivity of each figure", _WIDTH, y, _STYLE, lines)


def _scale(strategies: Sequence[Sensitivities]) -> float:
    """The share at the ends of the axis: a round number, which the strongest drawn effect fits into, or `_WIDEST`."""
    metrics = [
        (metric, strategy.effects) for strategy in strategies for metric in strategy.metrics if metric.name in DRAWN
    ]
    rows = (row for metric, effects in metrics for _, found in _by_kind(metric, effects) for row in found)
    strongest = min(_WIDEST, max((row.strength for row in rows), default=_WIDEST))
    values = ticks(-strongest, strongest, _TICKS)
    step = values[1] - values[0] if len(values) > 1 else strongest
    return step * ceil(strongest / step - 1e-9)


def _strategy(lines: list[str], y: float, one: Sensitivities, scale: float) -> float:
    title = f"What changes {one.name}: {one.strategy}, {format_gpus(one.gpus)}"
    y = headed(lines, _MARGIN, y, _WIDTH - 2 * _MARGIN, title, context(one.facts, one.requirements))
    y = _legend(lines, y)
    for metric in one.metrics:
        if metric.name in DRAWN:
            y = _panel(lines, y, metric, one, scale)
    return y


def _panel(lines: list[str], y: float, metric: MetricRecord, one: Sensitivities, scale: float) -> float:
    """One figure; returns where the next one begins."""
    kinds = [
        (kind, sorted(rows, key=lambda row: -row.strength)) for kind, rows in _by_kind(metric, one.effects) if rows
    ]
    if not kinds:
        return y
    asked = "".join(f"   {MARKS[row.ok]} {row.required}" for row in one.requirements if row.name == metric.name)
    lines.append(text(_MARGIN, y + 12, "title", cut(f"{metric.title} {metric.text}{asked}", _LEFT - 12, "title")))
    top = _axis(lines, y, scale, f"change of {metric.title}")
    y = top + 4
    begun = len(lines)
    for kind, rows in kinds:
        y = _kind(lines, y, kind, rows, scale, metric.better == "less")
    lines[begun:begun] = [
        f'<line class="{"axis" if not share else "grid"}" x1="{x:g}" y1="{top:g}" x2="{x:g}" y2="{y:g}"/>'
        for share, x in _places(scale)
    ]
    return y + 2 * _GAP


def _kind(lines: list[str], y: float, kind: str, rows: Sequence[_Row], scale: float, less_is_better: bool) -> float:
    left_out = len(rows) - MOST_PARAMETERS
    more = f", {left_out} smaller effect{'s' * (left_out > 1)} not drawn" if left_out > 0 else ""
    lines.append(text(_MARGIN, y + 12, "small muted", f"{kind}{more}"))
    y += LINE + 2
    for row in rows[:MOST_PARAMETERS]:
        y = _row(lines, y, row, scale, less_is_better)
    return y + 6


def _by_kind(metric: MetricRecord, effects: Sequence[Effect]) -> Iterator[tuple[str, list[_Row]]]:
    for kind, found in groupby(effects, key=lambda effect: effect.kind):
        yield kind, list(_rows(metric, list(found)))


def _rows(metric: MetricRecord, effects: Sequence[Effect]) -> Iterator[_Row]:
    """Parameters that move a figure; of the strategy each change is a row, because it says in full what it is."""
    for _, found in groupby(effects, key=lambda effect: effect.parameter):
        group = list(found)
        title = f"{group[0].title} {group[0].value}"
        bars = tuple((effect.change, moved) for effect in group if abs(moved := _moved(metric, effect)) >= NOTHING)
        if group[0].kind != "strategy" and bars:
            yield _Row(title, bars)
        elif bars:
            yield from (_Row(f"{group[0].value} → {change}", (("", moved),)) for change, moved in bars)


def _moved(metric: MetricRecord, effect: Effect) -> float:
    return next((one.difference or 0.0 for one in effect.metrics if one.name == metric.name), 0.0)


def _places(scale: float) -> list[tuple[float, float]]:
    """Shares that have a line, and where."""
    return [(share, _MIDDLE + share / scale * _BARS / 2) for share in ticks(-scale, scale, _TICKS)]


def _axis(lines: list[str], y: float, scale: float, title: str) -> float:
    """Labels above the lines: per cent at each, and at the right what changes."""
    for share, x in _places(scale):
        lines.append(text(x, y + 12, "small muted", f"{share * 100:+.4g} %" if share else "0 %", "middle"))
    lines.append(text(_MARGIN + _LEFT + _BARS + 36, y + 12, "small muted", cut(title, _RIGHT - 36, "small")))
    return y + 18


def _row(lines: list[str], y: float, row: _Row, scale: float, less_is_better: bool) -> float:
    """Label, bars, and beside them the numbers: on one line where the bars go apart, else each on its own."""
    lines.append(text(_MARGIN + 12, y + 11, "text", cut(row.title, _LEFT - 24, "text")))
    right, words, begun = _MARGIN + _LEFT + _BARS + 36, list[str](), y
    for index, (change, moved) in enumerate(row.bars):
        kind = "better" if (moved < 0) == less_is_better else "worse"
        length = min(abs(moved) / scale, 1.0) * _BARS / 2
        at = y if row.tall == 1 else y + index * LINE
        lines += _bar(_MIDDLE - length if moved < 0 else _MIDDLE, at, length, kind)
        if abs(moved) > scale * (1 + 1e-9):
            lines.append(_arrow(at, moved > 0))
        words.append(percent(moved) + (f" at {change}" if change else ""))
    shown = [", ".join(words)] if row.tall == 1 and width(", ".join(words), "small") <= _RIGHT - 36 else words
    for index, one in enumerate(shown):
        lines.append(text(right, y + 11 + index * LINE, "small", cut(one, _RIGHT - 36, "small")))
    return begun + max(row.tall, len(shown)) * LINE + 2


def _bar(x: float, y: float, length: float, kind: str) -> Iterator[str]:
    place = f'x="{x:.2f}" y="{y:g}" width="{length:.2f}" height="{_BAR}"'
    yield f'<rect class="{kind}" {place}/>'
    if kind == "worse":
        yield f'<rect fill="url(#hatch)" {place}/>'


def _arrow(y: float, rises: bool) -> str:
    side = 1 if rises else -1
    tip = _MIDDLE + side * (_BARS / 2 + 7)
    base = tip - side * 7
    return f'<path class="arrow" d="M{base:g} {y:g}L{tip:g} {y + _BAR / 2:g}L{base:g} {y + _BAR:g}Z"/>'


def _legend(lines: list[str], y: float) -> float:
    x = float(_MARGIN)
    for kind in ("better", "worse"):
        lines += _bar(x, y, 18, kind)
        lines.append(text(x + 24, y + 11, "text", kind))
        x += 44 + width(kind, "text")
    note = "one change at a time, plan re-evaluated; an arrow: beyond the scale"
    lines.append(text(x, y + 11, "text muted", note))
    return y + LINE + _GAP


_STYLE = (
    ".better{fill:#7f9cc6}.worse{fill:#ebc6c2}.hatch{stroke:#b3261e;stroke-width:1;stroke-opacity:.6}"
    ".arrow{fill:#1b1f24}.axis{stroke-width:1.2}"
    + dark(".better{fill:#5b7cab}.worse{fill:#6b342e}.hatch{stroke:#ff8a80}.arrow{fill:#e6e9ed}")
)
_HATCH = (
    '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse">'
    '<path class="hatch" d="M-2 2L2 -2M0 8L8 0M6 10L10 6"/></pattern></defs>'
)
