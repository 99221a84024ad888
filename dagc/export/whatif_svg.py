"""Sensitivities as a tornado picture: for each figure, the parameters that move it most, the strongest on top.

Hardware, workload and strategy stand apart, each on a scale of its own, because ten per cent of a rate
and twice the batch are not the same step.
Turns the document's effects into an SVG, the same bytes for the same input. A parameter has a bar for each of its
changes, to the left where the figure falls and to the right where it rises; what is better is plain, what is worse is
hatched. A bar that leaves the scale ends in an arrow; the words beside it have the true number. A dark page turns the
colours over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dagc.export.svg_text import FONTS, cut, text
from dagc.report.whatif import Effect, Metric, Sensitivities
from dagc.report.whatif_text import NOTHING, percent
from dagc.units import format_gpus

MOST_PARAMETERS = 6
"""Rows of one kind for one figure; the picture says how many it leaves out."""

DRAWN = ("ttft", "tpot", "throughput_per_gpu", "cost_per_million_output_tokens")
"""Figures that have a panel, where the plan has them."""

_WIDEST = 1.0
"""A change by this share reaches the end of the scale, however far others go."""

_MARGIN, _LEFT, _BARS, _RIGHT = 16, 360, 460, 240
_WIDTH = _MARGIN + _LEFT + _BARS + _RIGHT + _MARGIN
_MIDDLE = _MARGIN + _LEFT + _BARS / 2
_BAR, _LINE, _GAP = 13, 15, 14


@dataclass(frozen=True, slots=True)
class _Row:
    """One parameter's bars: words for each change that the title does not say, and by how much the figure moves."""

    title: str
    bars: tuple[tuple[str, float], ...]

    @property
    def strength(self) -> float:
        return max(abs(moved) for _, moved in self.bars)


def whatif_svg(strategies: Sequence[Sensitivities]) -> str:
    """The picture of one strategy, or of several below each other."""
    y, lines = float(_MARGIN), list[str]()
    for one in strategies:
        y = _strategy(lines, y, one)
    y = _legend(lines, y)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:g}" width="{_WIDTH}" height="{y:g}"'
    paper = f'<rect class="paper" width="{_WIDTH}" height="{y:g}"/>'
    title = "<title>Sensitivity of each figure</title>"
    return "\n".join([f'{head} role="img">', title, f"<style>{_STYLE}</style>", _HATCH, paper, *lines, "</svg>"]) + "\n"


def _strategy(lines: list[str], y: float, one: Sensitivities) -> float:
    words = f"{one.name}: {one.strategy}, {format_gpus(one.gpus)}"
    lines.append(text(_MARGIN, y + 14, "title", cut(words, _WIDTH - 2 * _MARGIN, "title")))
    y += 14 + 2 * _GAP
    for metric in one.metrics:
        if metric.name in DRAWN:
            y = _panel(lines, y, metric, one.effects)
    return y


def _panel(lines: list[str], y: float, metric: Metric, effects: Sequence[Effect]) -> float:
    """One figure; returns where the next one begins."""
    kinds = [(kind, sorted(rows, key=lambda row: -row.strength)) for kind, rows in _by_kind(metric, effects) if rows]
    if not kinds:
        return y
    lines.append(text(_MARGIN, y + 11, "text", f"{metric.title} {metric.text}"))
    y += _LINE + 3
    for kind, rows in kinds:
        y = _kind(lines, y, kind, rows, metric.better == "less")
    return y + _GAP


def _kind(lines: list[str], y: float, kind: str, rows: Sequence[_Row], less_is_better: bool) -> float:
    """The rows of one kind, on a scale of their own."""
    scale, left_out = min(_WIDEST, rows[0].strength), len(rows) - MOST_PARAMETERS
    more = f", {left_out} smaller effects not drawn" if left_out > 0 else ""
    lines.append(text(_MARGIN, y + 11, "small", f"{kind}{more}"))
    y = _axis(lines, y, scale)
    top = y
    for row in rows[:MOST_PARAMETERS]:
        y = _row(lines, y, row, scale, less_is_better)
    lines.append(f'<line class="zero" x1="{_MIDDLE:g}" y1="{top - 4:g}" x2="{_MIDDLE:g}" y2="{y:g}"/>')
    return y + 6


def _by_kind(metric: Metric, effects: Sequence[Effect]) -> Iterator[tuple[str, list[_Row]]]:
    for kind, found in groupby(effects, key=lambda effect: effect.kind):
        yield kind, list(_rows(metric, list(found)))


def _rows(metric: Metric, effects: Sequence[Effect]) -> Iterator[_Row]:
    """Parameters that move a figure; of the strategy each change is a row, because it says in full what it is."""
    for _, found in groupby(effects, key=lambda effect: effect.parameter):
        group = list(found)
        title = f"{group[0].title} {group[0].value}"
        bars = tuple((effect.change, moved) for effect in group if abs(moved := _moved(metric, effect)) >= NOTHING)
        if group[0].kind != "strategy" and bars:
            yield _Row(title, bars)
        elif bars:
            yield from (_Row(f"{group[0].value} → {change}", (("", moved),)) for change, moved in bars)


def _moved(metric: Metric, effect: Effect) -> float:
    return next((one.difference or 0.0 for one in effect.metrics if one.name == metric.name), 0.0)


def _axis(lines: list[str], y: float, scale: float) -> float:
    for share in (-1.0, -0.5, 0.5, 1.0):
        x = _MIDDLE + share * _BARS / 2
        lines.append(text(x, y + 11, "small", percent(share * scale), "middle"))
        lines.append(f'<line class="tick" x1="{x:g}" y1="{y + 15:g}" x2="{x:g}" y2="{y + 19:g}"/>')
    return y + 24


def _row(lines: list[str], y: float, row: _Row, scale: float, less_is_better: bool) -> float:
    """Label, bars below each other, and a line of words beside each."""
    lines.append(text(_MARGIN + 12, y + 11, "text", cut(row.title, _LEFT - 24, "text")))
    right = _MARGIN + _LEFT + _BARS + 12
    for change, moved in row.bars:
        kind = "better" if (moved < 0) == less_is_better else "worse"
        length = min(abs(moved) / scale, 1.0) * _BARS / 2
        lines += _bar(_MIDDLE - length if moved < 0 else _MIDDLE, y, length, kind)
        if abs(moved) > scale:
            lines.append(_arrow(y, moved > 0))
        words = f"{percent(moved):>8}" + (f"  at {change}" if change else "")
        lines.append(text(right, y + 11, "small", cut(words, _RIGHT - 12, "small")))
        y += _LINE
    return y + 5


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
    for kind, title in (("better", "better"), ("worse", "worse")):
        lines += _bar(x, y, 18, kind)
        lines.append(text(x + 24, y + 11, "text", title))
        x += 200
    lines.append(text(x, y + 11, "text", "one change at a time, plan re-evaluated"))
    return y + _LINE + _MARGIN


_INK, _PAPER = ("#1B1F24", "#E8EAED"), ("#FFFFFF", "#15181C")
_BETTER, _WORSE = ("#7F9CC6", "#5B7CAB"), ("#EBC6C2", "#6B342E")


def _rules(side: int) -> str:
    return (
        f".paper{{fill:{_PAPER[side]}}}text{{fill:{_INK[side]}}}.arrow{{fill:{_INK[side]}}}"
        f".zero,.tick,.hatch{{stroke:{_INK[side]}}}.better{{fill:{_BETTER[side]}}}.worse{{fill:{_WORSE[side]}}}"
    )


_STYLE = (
    f"{FONTS}.zero{{stroke-width:1.2}}.tick{{stroke-width:.8}}.hatch{{stroke-width:1;stroke-opacity:.55}}"
    f"{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}"
)
_HATCH = (
    '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse">'
    '<path class="hatch" d="M-2 2L2 -2M0 8L8 0M6 10L10 6"/></pattern></defs>'
)
