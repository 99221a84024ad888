"""Text, tones and paper of the pictures that are drawn here: memory, sensitivities, fronts and answers look alike.

Lines of text are measured as Helvetica, which the views are set in too, and escaped. Tones are those of the report.

Axes of plots: values to places on a line, and round values for its grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from math import ceil, exp, floor, log

from dagc.export.typesetting import printable
from dagc.export.typesetting import width as measured

POINTS = {"figure": 22.0, "title": 15.0, "text": 12.0, "head": 12.0, "small": 11.0}
_BOLD = frozenset({"figure", "title", "head"})
_SLIGHT = 1e-9
"""What the last digits of a float may make of a whole number."""

LINE = 16
"""From one line of text to the next."""

_FAMILY = 'Helvetica,Arial,"Liberation Sans",sans-serif'

FONTS = f"text{{font-family:{_FAMILY};white-space:pre}}" + "".join(
    f".{name}{{font-size:{size:g}px{';font-weight:bold' if name in _BOLD else ''}}}" for name, size in POINTS.items()
)
"""The style of these classes."""

_LIGHT = ("#1b1f24", "#57606a", "#ffffff", "#f5f7f9", "#d9dee4")
_DARK = ("#e6e9ed", "#a9b2bd", "#15181c", "#1c2127", "#333b45")
_STATES = {"good": ("#1e7d45", "#6fcf97"), "bad": ("#b3261e", "#ff8a80")}
_SHARES = {
    "compute": ("#9cc0ea", "#2f5c94"), "memory": ("#a8d5a3", "#356b38"), "communication": ("#f3c58c", "#8a5a20"),
    "bubble": ("#d7dce2", "#3a424d"),
}  # fmt: skip


def _tones(ink: str, muted: str, paper: str, card: str, grid: str, side: int) -> str:
    states = "".join(f".{name}{{fill:{tones[side]}}}" for name, tones in (_STATES | _SHARES).items())
    return (
        f".paper{{fill:{paper}}}text{{fill:{ink}}}.muted{{fill:{muted}}}.card{{fill:{card}}}.empty{{fill:{grid}}}"
        f".grid,.frame{{stroke:{grid}}}.axis{{stroke:{ink}}}{states}"
    )


TONES = f"{_tones(*_LIGHT, 0)}.frame{{fill:none}}@media (prefers-color-scheme:dark){{{_tones(*_DARK, 1)}}}"
"""Paper, ink, cards and lines, verdicts and shares of time, on a light page and on a dark one."""


def text(x: float, y: float, kind: str, words: str, anchor: str = "") -> str:
    """An element of text; `anchor` is `end` or `middle` where x is not its start."""
    aligned = f' text-anchor="{anchor}"' if anchor else ""
    fixed = "".join(f' {name}="{value}"' for name, value in fixed_width(words, kind).items())
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{aligned}{fixed}>{escape(printable(words), quote=False)}</text>'


def fixed_width(words: str, kind: str) -> dict[str, str]:
    """Attributes that draw a text as wide as it is measured, so that no font of a reader's machine pushes it out."""
    long = width(printable(words), kind)
    return {"textLength": f"{long:.1f}", "lengthAdjust": "spacingAndGlyphs"} if long else {}


def width(words: str, kind: str) -> float:
    """Pixels that a text takes; `kind` begins with the class that has its size."""
    size = kind.split(maxsplit=1)[0]
    return measured(words, POINTS[size], size in _BOLD)


def cut(words: str, most: float, kind: str) -> str:
    """A text that fits, shortened where it does not."""
    if width(words, kind) <= most:
        return words
    kept = words
    while kept and width(f"{kept}…", kind) > most:
        kept = kept[:-1]
    return f"{kept}…"


def words_wrapped(words: str, most: float, kind: str) -> Iterator[str]:
    """A sentence in lines that fit; a word that is longer than a line is cut."""
    return _folded(words.split(), " ", most, kind)


def wrapped(words: Iterable[str], most: float, kind: str) -> Iterator[str]:
    """Items joined by dots, in lines that fit; an item that is longer than a line is cut."""
    return _folded(words, " · ", most, kind)


def _folded(words: Iterable[str], joint: str, most: float, kind: str) -> Iterator[str]:
    line = ""
    for word in words:
        longer = f"{line}{joint}{word}" if line else word
        if line and width(longer, kind) > most:
            yield cut(line, most, kind)
            longer = word
        line = longer
    if line:
        yield cut(line, most, kind)


def headed(lines: list[str], x: float, y: float, most: float, title: str, context: Iterable[str]) -> float:
    """A title and the lines that say where its figures hold; returns where what follows begins."""
    lines.append(text(x, y + 14, "title", cut(title, most, "title")))
    y += 24
    for line in (part for one in context for part in wrapped(one.split(" · "), most, "text")):
        lines.append(text(x, y + 12, "text muted", line))
        y += LINE
    return y + 8


def picture(title: str, wide: float, tall: float, style: str, lines: Iterable[str]) -> str:
    """A whole document: its paper, and what is drawn on it. Sizes are pixels."""
    size = f'viewBox="0 0 {wide:g} {tall:g}" width="{wide:g}" height="{tall:g}"'
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(printable(title), quote=False)}</title>",
        f"<style>{FONTS}{TONES}{style}</style>",
        f'<rect class="paper" width="{wide:g}" height="{tall:g}"/>',
        *lines,
        "</svg>",
    )
    return "\n".join(parts) + "\n"


def dark(rules: str) -> str:
    """Rules of style that hold on a dark page."""
    return f"@media (prefers-color-scheme:dark){{{rules}}}"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten from `low` to `high`, so many at most, and more than two of them
    wherever the range is not empty.
    """
    if not high > low:
        return [low]
    for step in (float(f"{m}e{e}") for e in range(-15, 16) for m in (1, 2, 2.5, 5)):
        first, last = ceil(low / step - _SLIGHT), floor(high / step + _SLIGHT)
        if last - first + 1 <= most:
            return [step * number for number in range(first, last + 1)]
    return [low, high]


MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class PlotAxis:
    """From values to places on a line of a length. `first` and `last` are at its ends, in logarithms where `is_log`."""

    first: float
    last: float
    length: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Pixels from the first end, which a logarithmic axis has for what is not positive."""
        turned = value if not self.is_log else log(value) if value > 0 else self.first
        return self.length * (turned - self.first) / (self.last - self.first)

    def ticks(self, most: int = MOST_TICKS) -> list[float]:
        """Round values between the ends, so many at most; two more on a logarithmic axis."""
        if not self.is_log:
            return ticks(self.first, self.last, most)
        low, high = exp(self.first), exp(self.last)
        for leading in ((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            found = [v for e in range(-12, 13) for m in leading if low <= (v := float(f"{m}e{e}")) <= high]
            if 3 < len(found) <= most + 2:
                return found
        return ticks(low, high, most)
