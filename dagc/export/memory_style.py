"""How the parts of memory look in the picture: in which order, in which tone, with which pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.export.svg_text import FONTS
from dagc.report.summary import RankClass

EXPERTS = "experts"


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
        experts = one.weights_bytes.get(EXPERTS, 0.0)
        if self.name == EXPERTS:
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

_INK, _PAPER = ("#1B1F24", "#E8EAED"), ("#FFFFFF", "#15181C")


def _rules(side: int) -> str:
    ink, paper = _INK[side], _PAPER[side]
    tones = "".join(f".{part.name}{{fill:{part.dark if side else part.light}}}" for part in PARTS)
    return (
        f".paper{{fill:{paper}}}text{{fill:{ink}}}.mark{{stroke:{ink}}}.edge,.free{{stroke:{ink}}}"
        f".hatch{{stroke:{ink}}}{tones}"
    )


STYLE = (
    f"{FONTS}"
    ".mark{stroke-width:.8}.edge{stroke-width:3}.free{fill:none;stroke-width:.8;stroke-opacity:.5}"
    ".hatch{stroke-width:1;fill:none;stroke-linecap:round;stroke-opacity:.55}"
    f"{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}"
)
"""Fonts, tones on a light page, and tones on a dark one."""


def patterns() -> Iterator[str]:
    """The definitions of all patterns."""
    yield "<defs>"
    for part in PARTS:
        tile = f'<pattern id="{part.name}" width="8" height="8" patternUnits="userSpaceOnUse">'
        yield f'{tile}<path class="hatch" d="{part.stroke or "M0 0"}"/></pattern>'
    yield "</defs>"
