"""The front of a search as a picture: TPOT against output tokens a second of a GPU, a mark a plan.

Turns a result into an SVG document, the same bytes for the same input. Axes are logarithmic where the values spread
over more than a factor of four. The best plan is a filled square, others of the front are circles, given and well-known
strategies that have figures are crosses; each is told by shape before colour, and a dark page turns the colours over.
Numbers beside marks refer to the list below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import log

from dagc.report.search_result import SearchResult
from dagc.units import format_count, format_gpus, format_seconds

MOST = 24
"""Plans of the front that are drawn; the picture says how many more there are."""

_WIDTH, _PLOT, _LEFT, _TOP, _LINE = 960, 420, 96, 64, 16
_INNER = _WIDTH - _LEFT - 40
_WIDE = 7.4
"""Width of a character of the list, a little more than a fixed-pitch font takes."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A plan in the picture: number, kind (`best`, `front`, `other`), figures, and words."""

    number: int
    kind: str
    tpot: float
    rate: float
    text: str


def front_svg(result: SearchResult) -> str:
    """The picture of a search's front."""
    marks = list(_marks(result))
    height = _TOP + _PLOT + 70 + _LINE * (len(marks) + 1)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    lines = [f'{head} role="img">', "<title>Pareto front of a search</title>", f"<style>{_STYLE}</style>"]
    lines += [f'<rect class="paper" width="{_WIDTH}" height="{height}"/>', _text(16, 28, "title", _headline(result))]
    lines += _plot(marks) if marks else [_text(16, 60, "text", result.reason)]
    lines += _list(marks, _TOP + _PLOT + 64, len(result.front))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _headline(result: SearchResult) -> str:
    plans = f"{len(result.front)} plan{'s' * (len(result.front) != 1)}"
    return f"{result.model} on up to {format_gpus(result.searched.gpus)}: Pareto front, {plans}"


def _marks(result: SearchResult) -> Iterator[_Mark]:
    number = 0
    for index, plan in enumerate(result.front[:MOST]):
        if (place := _place(plan.figures)) is not None:
            number += 1
            title = f"{plan.strategy}, {format_gpus(plan.gpus)}{result.batch_label(plan.batch)}"
            yield _Mark(number, "front" if index else "best", *place, title)
    for one in (*result.given, *result.well_known):
        if one.status != "front" and (place := _place(one.figures)) is not None:
            number += 1
            title = f"{one.name}: {one.strategy}{result.batch_label(one.batch)}, {one.status}"
            yield _Mark(number, "other", *place, title)


def _place(figures: dict[str, float | None]) -> tuple[float, float] | None:
    tpot, rate = figures.get("tpot"), figures.get("throughput_per_gpu")
    return (tpot, rate) if tpot and rate else None


def _plot(marks: Sequence[_Mark]) -> list[str]:
    across, up = _scale([m.tpot for m in marks], _INNER), _scale([m.rate for m in marks], _PLOT)
    bottom = _TOP + _PLOT
    lines = [f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_INNER}" height="{_PLOT}"/>']
    for value in _ticks([m.tpot for m in marks]):
        x = _LEFT + across(value)
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        lines.append(_text(x, bottom + 18, "middle", format_seconds(value)))
    for value in _ticks([m.rate for m in marks]):
        y = bottom - up(value)
        lines.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _INNER}" y2="{y:.1f}"/>')
        lines.append(_text(_LEFT - 8, y + 4, "end", format_count(value)))
    lines.append(_text(_LEFT + _INNER / 2, bottom + 40, "middle", "TPOT (lower is better)"))
    lines.append(_text(16, _TOP - 10, "text", "output tokens/s/GPU (higher is better)"))
    places = [(mark, _LEFT + across(mark.tpot), bottom - up(mark.rate)) for mark in marks]
    return [*lines, *(_mark(*place) for place in reversed(places)), *_numbers(places)]


def _numbers(places: Sequence[tuple[_Mark, float, float]]) -> Iterator[str]:
    """The number of each mark, on the first of some places around it where it meets neither a mark nor a number."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for _, x, y in places]
    for mark, x, y in places:
        wide = 7.0 * len(str(mark.number))
        around = [(x + dx, y + dy) for far in (8, 20, 32) for dx, dy in _around(far, wide)]
        boxes = [(left, base - 9, left + wide, base) for left, base in around]
        left, top, right, base = next((box for box in boxes if not any(_meet(box, one) for one in taken)), boxes[0])
        taken.append((left, top, right, base))
        yield _text(left, base, "small", str(mark.number))


def _around(far: float, wide: float) -> tuple[tuple[float, float], ...]:
    """Where a number of a width may begin, so far from its mark."""
    right, left, above, below = far, -far - wide, 4 - far, far + 6
    return (right, above), (left, above), (right, below), (left, below), (-wide / 2, -far - 2)


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (left, top, right, bottom) overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _mark(mark: _Mark, x: float, y: float) -> str:
    match mark.kind:
        case "best":
            return f'<rect class="best" x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12"/>'
        case "front":
            return f'<circle class="front" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        case _:
            arms = f"M{x - 5:.1f} {y - 5:.1f}l10 10M{x - 5:.1f} {y + 5:.1f}l10 -10"
            return f'<path class="other" d="{arms}"/>'


def _list(marks: Sequence[_Mark], y: float, count: int) -> Iterator[str]:
    signs = {"best": "■", "front": "○", "other": "×"}
    for mark in marks:
        words = f"{mark.number:>3} {signs[mark.kind]} {mark.text}"
        most = int((_WIDTH - 32) / _WIDE)
        yield _text(16, y, "text", words if len(words) <= most else f"{words[: most - 1]}…")
        y += _LINE
    if count > MOST:
        yield _text(16, y, "text", f"{count - MOST} more plans of the front are not drawn")


def _scale(values: Sequence[float], length: float) -> Callable[[float], float]:
    """A value's place on an axis, with a margin on both sides."""
    low, high = min(values), max(values)
    turn = log if high > 4 * low else float
    first, last = turn(low), turn(high)
    room = (last - first) or 1.0
    return lambda value: length * (0.06 + 0.88 * (turn(value) - first) / room)


def _ticks(values: Sequence[float]) -> list[float]:
    """Numbers 1, 2 or 5 times a power of ten between the least and the largest value.

    Where there are fewer than two of them any digit serves, or else the two values themselves.
    """
    low, high = min(values), max(values)
    steps = [float(f"{m}e{e}") for e in range(-12, 13) for m in (1, 2, 5)]
    found = [step for step in steps if low <= step <= high]
    fine = [float(f"{m}e{e}") for e in range(-12, 13) for m in range(1, 10)]
    more = [step for step in fine if low <= step <= high]
    return next((one for one in (found, more) if len(one) > 1), sorted({low, high}))


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text, quote=False)}</text>'


def _rules(ink: str, paper: str, tone: str) -> str:
    return (
        f".paper{{fill:{paper}}}text{{fill:{ink}}}.frame,.front,.other,.best{{stroke:{ink}}}.grid{{stroke:{ink}}}"
        f".front{{fill:{paper}}}.best{{fill:{tone}}}"
    )


_STYLE = (
    'text{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre;font-size:12px}'
    ".title{font-size:15px;font-weight:bold}.small{font-size:11px}.middle{text-anchor:middle}.end{text-anchor:end}"
    ".frame{fill:none;stroke-width:1}.grid{stroke-width:.5;stroke-opacity:.3}.front,.best,.other{stroke-width:1.5}"
    ".other{fill:none}"
    f"{_rules('#1B1F24', '#FFFFFF', '#7F9CC6')}"
    f"@media (prefers-color-scheme:dark){{{_rules('#E8EAED', '#15181C', '#3F5C86')}}}"
)
"""Fonts, tones on a light page, and tones on a dark one."""
