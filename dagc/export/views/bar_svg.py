"""A bar, drawn in the place of the block characters that stood for it."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from dagc.export.views import look
from dagc.export.views.text import width
from dagc.export.views.view import Bar
from dagc.graph.priced import Bound

_SVG = "{http://www.w3.org/2000/svg}"
_PAD = "\N{NO-BREAK SPACE} "
_TALL = 8.0
"""Height of a bar in points."""


def draw_bar(text: Element, bar: Bar) -> None:
    """The parts of a bar by bound, over the width of the text, which becomes a group."""
    x, y = float(text.get("x", "0")), float(text.get("y", "0"))
    long = width((text.text or "").strip(_PAD), float(text.get("font-size", "10")))
    x -= long / 2 if text.get("text-anchor") == "middle" else 0.0
    text.tag, text.text = f"{_SVG}g", None
    text.attrib.clear()
    text.set("class", "bar")
    if bar.whole:
        _rect(text, x, y, long, look.IDLE)
    for bound, share in bar.parts:
        if share > 0:
            _rect(text, x, y, long * share, look.BARS[bound], bound)
            x += long * share


def _rect(parent: Element, x: float, y: float, long: float, tone: str, bound: Bound | None = None) -> None:
    place = {"x": f"{x:.2f}", "y": f"{y - _TALL + 1:.2f}", "width": f"{long:.2f}", "height": f"{_TALL:g}"}
    SubElement(parent, f"{_SVG}rect", place | {"fill": tone})
    if bound is not None:
        SubElement(parent, f"{_SVG}rect", place | {"fill": f"url(#{bound.value})"})
