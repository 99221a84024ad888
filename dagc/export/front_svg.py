"""The front of a search as a picture: TPOT against output tokens a second of a GPU, a mark a plan.

Turns a result into an SVG document, the same bytes for the same input. Axes are logarithmic where the values spread
over more than a factor of four. The best plan is a filled square, those that tie with it are filled circles, others of
the front empty ones, given and well-known strategies that have figures are crosses; a dark page turns the colours over.
A requirement on either figure is a line, and what misses it is shaded. Names are beside their marks where there is
room (`labels.py`); elsewhere a number does, which the key below has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log

from dagc.export.labels import BELOW, Label, along, labelled, leader
from dagc.export.svg_text import LINE, PlotAxis, cut, dark, headed, picture, text, width
from dagc.export.text.context import MARKS, context
from dagc.metrics import THROUGHPUT_PER_GPU, TPOT
from dagc.results.search_result import FoundPlan, RequirementFigure, SearchResult
from dagc.units import format_count, format_gpus, format_seconds

MOST = 24
"""Plans of the front that are drawn; the picture says how many there are beside these."""

_WIDTH, _MARGIN, _PLOT, _LEFT, _RIGHT = 960, 16, 440, 76, 24
_INNER = _WIDTH - _LEFT - _RIGHT
_RADIUS = 7.0
_ROOM = 0.06
"""Share of an axis that is left on both sides of the values."""

_REACH = 1.0
"""An axis is drawn out to a requirement by at most this share of its length; past that an arrow points there."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A plan in a picture: number, kind (`best`, `tie`, `front`, `other`), figures, words of a name and of the key."""

    number: int
    kind: str
    tpot: float
    rate: float
    name: str
    text: str


def front_svg(result: SearchResult) -> str:
    """The picture of a search's front."""
    marks, lines = list(_marks(result)), list[str]()
    y = headed(lines, _MARGIN, _MARGIN, _WIDTH - 2 * _MARGIN, _headline(result), _context(result))
    if marks:
        y = _signs(lines, y, marks)
        y = _plot(lines, y, marks, _requirements(result))
        y = _key(lines, y, marks)
    else:
        lines.append(text(_MARGIN, y + 12, "text", result.reason))
        y += 2 * LINE
    return picture("Pareto front of a search", _WIDTH, y + _MARGIN, _STYLE, lines)


def _headline(result: SearchResult) -> str:
    searched = result.searched
    sizes = "" if searched.fewest == searched.gpus else f"{searched.fewest} to "
    many, head = len(result.front), f"{result.model} on {sizes}{format_gpus(searched.gpus)}"
    if not many:
        return f"{head}: no plan on the Pareto front"
    drawn = f"Pareto front of {many} plan{'s' * (many != 1)}" + (f", {MOST} of them drawn" if many > MOST else "")
    return f"{head}: {drawn}"


def _context(result: SearchResult) -> Iterator[str]:
    facts, batches = result.facts, result.searched.batches
    if facts.workload["concurrency"] is None and len(batches) == 1:
        facts = replace(facts, workload={**facts.workload, "batch": batches[0]})
    yield from context(facts, [])
    if len(batches) > 1:
        yield f"searched: {' · '.join(f'batch {batch:,}' for batch in batches)}"
    rows = [f"{MARKS[None if one.miss is None else not one.miss]} {one.name} {one.required}" for one in _asked(result)]
    best = result.recommended
    if rows:
        of = "nearest" if best is None else f"best with {best.batch:,} in flight" if best.is_lowered else "best"
        yield f"requirements of the {of}: {' · '.join(rows)}"
    if result.front and (best is None or best.is_lowered):
        yield result.reason


def _asked(result: SearchResult) -> list[RequirementFigure]:
    """The requirements, as the plan has them that is recommended, or the nearest."""
    best = result.recommended or result.nearest or next(iter(result.front), None)
    return best.requirements if best else []


def _requirements(result: SearchResult) -> dict[str, RequirementFigure]:
    """The strictest requirement on each axis; one that asks for an exact value bounds nothing."""
    found: dict[str, RequirementFigure] = {}
    for one in _asked(result):
        wanted = {TPOT.name: "<", THROUGHPUT_PER_GPU.name: ">"}.get(one.figure or "")
        if one.figure and one.limit is not None and wanted == one.required[0]:
            before = found.get(one.figure)
            is_stricter = before is None or (one.limit < (before.limit or 0.0)) == (wanted == "<")
            found |= {one.figure: one} if is_stricter else {}
    return found


def _marks(result: SearchResult) -> Iterator[_Mark]:
    number = 0
    for index, plan in enumerate(result.front[:MOST]):
        if (place := _place(plan.figures)) is not None:
            number += 1
            batch = result.batch_label(plan.batch)
            name = f"{plan.strategy}{batch}"
            is_best = index == 0 and result.recommended is not None and not result.recommended.is_lowered
            kind = "best" if is_best else "tie" if plan.tied else "front"
            tie = ", a tie with the best" if plan.tied else _missed(plan)
            yield _Mark(number, kind, *place, name, f"{name}, {format_gpus(plan.gpus)}{tie}")
    for one in (*result.given, *result.well_known):
        if one.status != "front" and (place := _place(one.figures)) is not None:
            number += 1
            name = f"{one.strategy}{result.batch_label(one.batch)}"
            status = "dominated" if one.status == "behind" else one.status
            yield _Mark(number, "other", *place, name, f"{one.name}: {name}, {status}")


def _missed(plan: FoundPlan) -> str:
    """What simulated requests miss."""
    is_missed = plan.simulated is not None and plan.simulated.met is False
    names = [f"misses {one.name} {one.required}: {one.shown}" for one in plan.requirements if is_missed and one.miss]
    return f", {names[0]}" if names else ""


def _place(figures: dict[str, float | None]) -> tuple[float, float] | None:
    tpot, rate = figures.get(TPOT.name), figures.get(THROUGHPUT_PER_GPU.name)
    return (tpot, rate) if tpot and rate else None


def _plot(lines: list[str], y: float, marks: Sequence[_Mark], limits: dict[str, RequirementFigure]) -> float:
    """The frame with its axes, requirements, marks and labels; returns where the key begins."""
    lines.append(text(_MARGIN, y + 12, "small muted", "output tokens/s/GPU, higher is better"))
    top, bottom = y + 22, y + 22 + _PLOT
    slow, rate = limits.get(TPOT.name), limits.get(THROUGHPUT_PER_GPU.name)
    across = _axis([mark.tpot for mark in marks], _INNER, slow)
    up = _axis([mark.rate for mark in marks], _PLOT, rate)
    lines.append(f'<rect class="frame" x="{_LEFT}" y="{top:g}" width="{_INNER}" height="{_PLOT}"/>')
    for value in across.ticks():
        x = _LEFT + across.at(value)
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{bottom:g}"/>')
        lines.append(text(round(x, 1), bottom + 16, "small", format_seconds(value), "middle"))
    for value in up.ticks():
        at = bottom - up.at(value)
        lines.append(f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{_LEFT + _INNER}" y2="{at:.1f}"/>')
        lines.append(text(_LEFT - 8, round(at + 4, 1), "small", format_count(value), "end"))
    lines.append(text(_LEFT + _INNER / 2, bottom + 34, "small muted", "TPOT, lower is better", "middle"))
    taken: list[Label] = []
    if slow and slow.limit is not None:
        taken += _limit_across(lines, slow, across.at(slow.limit), top)
    if rate and rate.limit is not None:
        taken += _limit_up(lines, rate, up.at(rate.limit), top, bottom)
    places = [(mark, round(_LEFT + across.at(mark.tpot), 1), round(bottom - up.at(mark.rate), 1)) for mark in marks]
    frame = (_LEFT + 2.0, top + 2, _LEFT + _INNER - 2.0, bottom - 2)
    order = sorted(range(len(places)), key=lambda index: (places[index][0].kind in ("front", "tie"), index))
    named = labelled([(x, y, f"{mark.number}", mark.name) for mark, x, y in places], order, frame, taken)
    for (_, x, at), label in zip(places, named, strict=True):
        end = leader(x, at, _RADIUS, label[0]) if label else None
        if end:
            lines.append(f'<line class="leader" x1="{x:.1f}" y1="{at:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>')
    lines += (_mark(mark.kind, x, y) for mark, x, y in reversed(places))
    for (_, x, _), label in zip(places, named, strict=True):
        if label:
            # Fonts differ in width: what is left of a mark ends there, whatever the font.
            box, words = label
            edge, anchor = (box[2], "end") if box[2] < x else (box[0], "")
            lines.append(text(round(edge, 1), round(box[3] - BELOW, 1), "small", words, anchor))
    return bottom + 52


def _axis(values: Sequence[float], length: float, limit: RequirementFigure | None) -> PlotAxis:
    """An axis with a margin on both sides, drawn out to a requirement that is near."""
    low, high = min(values), max(values)
    is_log = high > 4 * low
    first, last = (log(low), log(high)) if is_log else (low, high)
    span = (last - first) or abs(last) or 1.0
    if limit and limit.limit is not None:
        at = log(limit.limit) if is_log and limit.limit > 0 else limit.limit
        if first - _REACH * span <= at <= last + _REACH * span:
            first, last = min(first, at), max(last, at)
    room = _ROOM * ((last - first) or span)
    return PlotAxis(first - room, last + room, length, is_log)


def _limit_across(lines: list[str], one: RequirementFigure, at: float, top: float) -> list[Label]:
    """A line up and down, and what is right of it shaded; an arrow beside the axis where the limit is past it.

    Returns the places that they take.
    """
    words = f"{one.name} {one.required}"
    if not 0 <= at <= _INNER:
        return [_written(lines, f"{words} →" if at > 0 else f"← {words}", _LEFT + _INNER, top + _PLOT + 34)]
    x = _LEFT + at
    lines.append(f'<rect class="missed" x="{x:.1f}" y="{top:g}" width="{_INNER - at:.1f}" height="{_PLOT}"/>')
    lines.append(f'<line class="limit" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{top + _PLOT:g}"/>')
    return [_written(lines, words, x - 6, top + _PLOT - 8), *along(x, top, x, top + _PLOT)]


def _limit_up(lines: list[str], one: RequirementFigure, at: float, top: float, bottom: float) -> list[Label]:
    """The same from left to right, what is below shaded."""
    words = f"{one.name} {one.required}"
    if not 0 <= at <= _PLOT:
        return [_written(lines, f"{words} {'↓' if at < 0 else '↑'}", _LEFT + _INNER, top - 10)]
    y = bottom - at
    lines.append(f'<rect class="missed" x="{_LEFT}" y="{y:.1f}" width="{_INNER}" height="{at:.1f}"/>')
    lines.append(f'<line class="limit" x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _INNER}" y2="{y:.1f}"/>')
    return [_written(lines, words, _LEFT + _INNER - 8, y - 6), *along(_LEFT, y, _LEFT + _INNER, y)]


def _written(lines: list[str], words: str, right: float, y: float) -> Label:
    """Words of a requirement that end at `right`; returns the place that they take."""
    lines.append(text(round(right, 1), round(y, 1), "small bad", words, "end"))
    return right - width(words, "small"), y - 10, right, y + 3


def _mark(kind: str, x: float, y: float) -> str:
    match kind:
        case "best":
            return f'<rect class="best" x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12"/>'
        case "front" | "tie":
            return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        case _:
            arms = f"M{x - 5:.1f} {y - 5:.1f}l10 10M{x - 5:.1f} {y + 5:.1f}l10 -10"
            return f'<path class="other" d="{arms}"/>'


def _signs(lines: list[str], y: float, marks: Sequence[_Mark]) -> float:
    """What the marks mean, in one line."""
    x, kinds = float(_MARGIN), {mark.kind for mark in marks}
    for kind, words in (
        ("best", "best"),
        ("tie", "tie with the best"),
        ("front", "Pareto front"),
        ("other", "your strategies and baselines"),
    ):
        if kind in kinds:
            lines += (_mark(kind, x + 6, y + 8), text(x + 20, y + 12, "text", words))
            x += 44 + width(words, "text")
    return y + LINE + 8


def _key(lines: list[str], y: float, marks: Sequence[_Mark]) -> float:
    """All plans by number, in two columns where these are wide enough."""
    whole = _WIDTH - 2 * _MARGIN
    columns = 2 if max(width(mark.text, "text") for mark in marks) <= whole / 2 - 56 else 1
    rows = -(-len(marks) // columns)
    for index, mark in enumerate(marks):
        x = _MARGIN + index // rows * whole / columns
        at = y + index % rows * (LINE + 2)
        lines.append(text(x + 18, at + 12, "small muted", f"{mark.number}", "end"))
        lines += (
            _mark(mark.kind, x + 32, at + 8),
            text(x + 46, at + 12, "text", cut(mark.text, whole / columns - 56, "text")),
        )
    return y + rows * (LINE + 2)


_STYLE = (
    ".front,.tie,.best,.other{stroke:#1b1f24;stroke-width:1.5}.front{fill:#ffffff}.best,.tie{fill:#7f9cc6}"
    ".other{fill:none}"
    ".leader{stroke:#57606a;stroke-width:.8}"
    ".limit{stroke:#b3261e;stroke-width:1.5;stroke-dasharray:6 3}.missed{fill:#b3261e;fill-opacity:.06}"
    + dark(
        ".front,.tie,.best,.other{stroke:#e6e9ed}.front{fill:#15181c}.best,.tie{fill:#5b7cab}"
        ".leader{stroke:#a9b2bd}.limit{stroke:#ff8a80}.missed{fill:#ff8a80;fill-opacity:.1}"
    )
)
