"""The timeline of representative ranks: a row a rank, its computation above its communication, a picture a phase.

Turns folded lanes into SVG. The blocks are in a nested SVG, whose view box a script narrows to zoom;
without a script the whole phase is there. A block of several is as high as it is busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log10

from markupsafe import Markup

from dagc.export.page.fold import KINDS, LaneBlock, PhaseLanes, css
from dagc.export.page.markup import tag, text
from dagc.export.svg_text import cut
from dagc.ops.op import Lane
from dagc.units import format_seconds, format_share

_WIDTH, _LABEL, _TOP, _ROW, _BAR = 1120, 190, 24, 30, 11
UNITS = 10_000
"""Width of the plot in its own units."""

_NANOSECONDS = 1e9
_WHOLE = 0.995
"""Share of its time from which a block counts as busy throughout."""

_MOST_TICKS = 8


def drawn_lanes(title: str, lanes: PhaseLanes) -> Markup:
    """The picture of one phase with its heading and what was folded."""
    height = _TOP + _ROW * len(lanes.titles)
    rows = (_row(index, *title) for index, title in enumerate(lanes.titles))
    plot = tag(
        "svg",
        (_rect(block, UNITS / lanes.span) for block in lanes.blocks),
        class_="plot", x=_LABEL, y=_TOP, width=_WIDTH - _LABEL, height=_ROW * len(lanes.titles),
        viewBox=f"0 0 {UNITS} {_ROW * len(lanes.titles)}", preserveAspectRatio="none", data_span=str(lanes.span),
    )  # fmt: skip
    axis = tag("g", _ticks(lanes.span, height), class_="axis", data_height=height)
    picture = tag(
        "svg", axis, rows, plot,
        class_="lanes", viewBox=f"0 0 {_WIDTH} {height + 4}", role="img", aria_label=f"Timeline of {title}",
    )  # fmt: skip
    return tag("figure", tag("figcaption", tag("h3", title), tag("p", _folding(lanes), class_="hint")), picture)


def legend() -> Markup:
    """The tones of all kinds."""
    entries = (tag("li", tag("span", class_=f"swatch {css(kind)}"), kind.value) for kind in KINDS)
    return tag("ul", entries, class_="legend")


def _row(index: int, team: str, ranks: str) -> Markup:
    y = _TOP + index * _ROW
    name = tag("text", tag("title", team), cut(team, _LABEL - 10, "text"), x=0, y=y + 12)
    which = tag("text", tag("title", ranks), cut(ranks, _LABEL - 10, "small"), x=0, y=y + 24, class_="minor")
    line = tag("line", x1=0, x2=_WIDTH, y1=y + _ROW - 1.5, y2=y + _ROW - 1.5, class_="rule")
    return Markup("") + name + which + line


def _rect(block: LaneBlock, scale: float) -> Markup:
    bottom = block.rank * _ROW + 3 + _BAR + (0 if block.lane is Lane.COMPUTE else _BAR + 1)
    width, height = max((block.end - block.start) * scale, 1), max(_BAR * block.share, 1)
    place = f'x="{block.start * scale:.0f}" y="{bottom - height:.3g}" width="{width:.0f}" height="{height:.3g}"'
    shape = f'class="{css(block.kind)}" {place}'
    return Markup(f"<rect {shape}><title>{text(_description(block))}</title></rect>")


def _description(block: LaneBlock) -> str:
    name = block.name if block.count == 1 else f"{block.name} and {block.count - 1} more"
    layer = "" if block.layer < 0 else f" · layer {block.layer}"
    start, duration = (format_seconds(ns / _NANOSECONDS) for ns in (block.start, block.end - block.start))
    busy = "" if block.share > _WHOLE else f", {format_share(block.share)} busy"
    return f"{name}{layer} · micro-batch {block.micro_batch} · {duration}, from {start}{busy}"


def _ticks(span: int, height: int) -> Iterator[Markup]:
    """Lines at round times. The script draws others when it zooms, by the same rule."""
    step = _step(span)
    for number in range(int(span // step) + 1):
        x = _LABEL + number * step / span * (_WIDTH - _LABEL)
        yield tag("line", x1=x, x2=x, y1=_TOP - 6, y2=height)
        if x < _WIDTH - 30:
            yield tag("text", format_seconds(number * step / _NANOSECONDS) if number else "0", x=x + 3, y=_TOP - 10)


def _step(span: int) -> float:
    """1, 2 or 5 times a power of ten nanoseconds."""
    shortest = span / _MOST_TICKS
    power = 10.0 ** ceil(log10(shortest) - 1)
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= shortest)


def _folding(lanes: PhaseLanes) -> str:
    joined = (
        f"; a block is what starts within {format_seconds(lanes.interval / _NANOSECONDS)}, as high as it is busy"
        if lanes.interval
        else ""
    )
    more = f"; {lanes.left_out} more kinds of ranks are not drawn" if lanes.left_out else ""
    return f"{lanes.slices:,} operator executions in {len(lanes.blocks):,} blocks{joined}{more}"
