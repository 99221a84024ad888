"""Memory by rank class as a picture: a stacked bar for each, against the capacity of its device.

Turns memory's part of summaries into an SVG document, the same bytes for the same input. Parts of a bar differ by
pattern, and by colour, which a dark page turns over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dagc.export.svg_text import LINE, dark, headed, picture, text, width, wrapped
from dagc.export.tiles import capacity_facts
from dagc.export.typesetting import folded_lines
from dagc.results.summary import Memory, PoolMemoryRecord, RankClass
from dagc.units import format_bytes, format_share


@dataclass(frozen=True, slots=True)
class Panel:
    """A strategy's name, its memory, and the lines that name model, cluster, workload and requirements."""

    name: str
    memory: Memory
    context: tuple[str, ...]


MOST_CLASSES = 40
"""Bars of one pool; the picture says how many more classes there are."""

_MARGIN, _LEFT, _BAR, _RIGHT = 16, 210, 560, 170
_WIDTH = _MARGIN + _LEFT + _BAR + _RIGHT + _MARGIN
_TALL, _GAP = 22, 14
_LETTERS, _LABEL = 26, 3
"""Of the name of a class: letters of a line, and lines."""


_EXPERTS = "experts"


@dataclass(frozen=True, slots=True)
class DrawnPart:
    """A part of a bar: what it is called, its tones on a light and on a dark page, the pattern's strokes.

    The pattern is a path in a tile of 8 × 8 pixels; empty for a plain tone.
    """

    name: str
    title: str
    light: str
    dark: str
    stroke: str = ""

    def of(self, one: RankClass) -> float:
        """Bytes of this part in one class; routed experts are drawn apart from all other weights."""
        experts = one.weights_bytes.get(_EXPERTS, 0.0)
        if self.name == _EXPERTS:
            return experts
        return one.parts_bytes.get(self.name, 0.0) - (experts if self.name == "weights" else 0.0)


PARTS = (
    DrawnPart("experts", "experts", "#7F9CC6", "#3F5C86"),
    DrawnPart("weights", "other weights", "#C9D8EE", "#28405F", "M-2 2L2 -2M0 8L8 0M6 10L10 6"),
    DrawnPart("kv_cache", "KV cache", "#F2D9A6", "#6E5420", "M0 4H8"),
    DrawnPart("activations", "activations", "#CFE6C8", "#34562C", "M4 0V8"),
    DrawnPart("communication", "communication", "#EBC6C2", "#6B342E", "M0 4H8M4 0V8"),
    DrawnPart("reserve", "reserve", "#E4E6EA", "#3A3F47", "M2 2h.1M6 6h.1"),
)

_STYLE = (
    ".mark,.edge,.free,.hatch{stroke:#1b1f24}.mark{stroke-width:.8}.edge{stroke-width:3}"
    ".free{fill:none;stroke-width:.8;stroke-opacity:.5}"
    ".hatch{stroke-width:1;fill:none;stroke-linecap:round;stroke-opacity:.55}"
    + "".join(f".{part.name}{{fill:{part.light}}}" for part in PARTS)
    + dark(".mark,.edge,.free,.hatch{stroke:#e6e9ed}" + "".join(f".{part.name}{{fill:{part.dark}}}" for part in PARTS))
)


def memory_svg(panels: Sequence[Panel]) -> str:
    """The picture of one strategy, or of several below each other."""
    y, lines = float(_MARGIN), list(_patterns())
    for panel in panels:
        y = _panel(lines, y, panel)
    y = _legend(lines, y)
    return picture("Memory by rank class", _WIDTH, y, _STYLE, lines)


def _panel(lines: list[str], y: float, panel: Panel) -> float:
    """One strategy; returns where the next one begins."""
    memory = panel.memory
    context = (*panel.context, " · ".join(capacity_facts(memory)))
    y = headed(lines, _MARGIN, y, _WIDTH - 2 * _MARGIN, _headline(panel.name, memory), context) + _GAP
    most = max(max(one.total_bytes, pool.capacity_bytes) for pool in memory.pools for one in pool.classes)
    for pool in memory.pools:
        for rank_class in pool.classes[:MOST_CLASSES]:
            y = _row(lines, y, pool if len(memory.pools) > 1 else None, rank_class, pool.capacity_bytes, _BAR / most)
        if len(pool.classes) > MOST_CLASSES:
            more = f"{len(pool.classes) - MOST_CLASSES} more rank classes are not drawn"
            lines.append(text(_MARGIN, y + 11, "text", more))
            y += LINE + _GAP
    return y + _GAP


def _headline(name: str, memory: Memory) -> str:
    held = f"{format_bytes(memory.per_rank_max_bytes)} of {format_bytes(memory.capacity_bytes)}"
    return f"{name}: {'fits' if memory.fits else 'does not fit'}, {held} on the fullest GPU"


def _row(
    lines: list[str], y: float, pool: PoolMemoryRecord | None, one: RankClass, capacity: float, scale: float
) -> float:
    """One class: label, bar, total, and its parts in words below the bar."""
    left, right = _MARGIN + _LEFT, _MARGIN + _LEFT + _BAR
    label = folded_lines(f"{f'{pool.pool} ' if pool else ''}ranks {one.ranks}", _LETTERS, _LABEL)
    for number, words in enumerate(label):
        lines.append(text(_MARGIN, y + 10 + number * LINE, "text", words))
    lines.append(text(_MARGIN, y + 10 + len(label) * LINE, "small", f"{one.gpus:,} GPU{'s' * (one.gpus != 1)}"))
    bottom = y + (len(label) + 1) * LINE
    x, parts = float(left), [(part, part.of(one)) for part in PARTS]
    for part, size in parts:
        if size > 0:
            lines.append(_rect(x, y, size * scale, part.name))
            x += size * scale
    edge = left + capacity * scale
    lines.append(f'<rect class="free" x="{left:g}" y="{y:g}" width="{edge - left:.2f}" height="{_TALL}"/>')
    lines.append(f'<line class="edge" x1="{edge:.2f}" y1="{y - 5:g}" x2="{edge:.2f}" y2="{y + _TALL + 5:g}"/>')
    over = "" if one.total_bytes <= capacity else ", exceeds capacity"
    lines.append(text(right + 12, y + 10, "text", f"{format_bytes(one.total_bytes)} of {format_bytes(capacity)}"))
    lines.append(text(right + 12, y + 10 + LINE, "small", f"{format_share(one.share)}{over}"))
    y += _TALL + 8
    words = [f"{part.title} {format_bytes(size)}" for part, size in parts if size > 0]
    for line in wrapped(words, _BAR, "small"):
        lines.append(text(left, y + 10, "small", line))
        y += LINE
    return max(y, bottom) + _GAP


def _legend(lines: list[str], y: float) -> float:
    x = float(_MARGIN)
    entries = [(part.name, part.title) for part in PARTS]
    for name, title in [*entries, ("edge", "device capacity")]:
        wide = 34 + width(title, "text")
        if x + wide > _WIDTH - _MARGIN:
            x, y = float(_MARGIN), y + LINE + 8
        swatch = f'<line class="edge" x1="{x + 9:g}" y1="{y - 2:g}" x2="{x + 9:g}" y2="{y + 16:g}"/>'
        lines.append(swatch if name == "edge" else _rect(x, y, 18, name, 14))
        lines.append(text(x + 24, y + 11, "text", title))
        x += wide + 8
    return y + LINE + _MARGIN


def _rect(x: float, y: float, width: float, part: str, height: float = _TALL) -> str:
    place = f'x="{x:.2f}" y="{y:g}" width="{width:.2f}" height="{height:g}"'
    return f'<rect class="{part}" {place}/><rect class="mark" fill="url(#{part})" {place}/>'


def _patterns() -> Iterator[str]:
    """The definitions of all patterns."""
    yield "<defs>"
    for part in PARTS:
        tile = f'<pattern id="{part.name}" width="8" height="8" patternUnits="userSpaceOnUse">'
        yield f'{tile}<path class="hatch" d="{part.stroke or "M0 0"}"/></pattern>'
    yield "</defs>"
