"""Signs of the legend, drawn: a small sample of each before its meaning, and the patterns of the bars."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from dagc.export.views import look
from dagc.export.views.legend import GAP_POINTS, SAMPLE_POINTS, Sample
from dagc.export.views.text import width
from dagc.export.views.view import Line, Shape
from dagc.graph.priced import Bound

_SVG = "{http://www.w3.org/2000/svg}"
_LONG = 26.0
_TALL = 11.0
_DASHES = {Line.CHOICE: "5,2", Line.ORDER: "1,3"}


def draw_samples(parent: Element, x: float, y: float, samples: tuple[Sample, ...]) -> None:
    """One line of entries, `y` its baseline."""
    for sample in samples:
        _draw(parent, x, y - 3.5, sample)
        at = {"x": f"{x + SAMPLE_POINTS - 4:.2f}", "y": f"{y:.2f}", "font-size": f"{look.TEXT_POINTS:g}"}
        SubElement(parent, f"{_SVG}text", at | {"fill": look.INK}).text = sample.meaning
        x += SAMPLE_POINTS + width(sample.meaning, look.TEXT_POINTS) + GAP_POINTS


def add_patterns(root: Element) -> None:
    """Patterns that tell the parts of a bar apart without colour."""
    defs = SubElement(root, f"{_SVG}defs")
    for bound, marks in _PATTERNS.items():
        size = {"width": "4", "height": "4", "patternUnits": "userSpaceOnUse", "id": bound.value}
        pattern = SubElement(defs, f"{_SVG}pattern", size)
        if marks:
            SubElement(pattern, f"{_SVG}path", {"d": marks, "stroke": "#ffffff", "stroke-width": "0.9", "fill": "none"})


_PATTERNS = {
    Bound.COMPUTE: "",
    Bound.MEMORY: "M0,2 H4",
    Bound.NETWORK: "M-1,1 L1,-1 M0,4 L4,0 M3,5 L5,3",
    Bound.LATENCY: "M2,0 V4",
    Bound.NONE: "",
}
"""Lines of each pattern: none, level, slanted, upright."""


def _draw(parent: Element, x: float, middle: float, sample: Sample) -> None:
    sign = sample.sign
    if isinstance(sign, Line):
        _line(parent, x, middle, sign)
    elif isinstance(sign, Bound):
        _frame(parent, x, middle, {"fill": look.BOUNDS[sign], "stroke": look.FRAME})
        _rect(parent, x, middle + 1.5, _LONG, 4.0, {"fill": look.BARS[sign]})
        _rect(parent, x, middle + 1.5, _LONG, 4.0, {"fill": f"url(#{sign.value})"})
    elif sign is Shape.COMMUNICATION:
        place = {"cx": f"{x + _LONG / 2:.2f}", "cy": f"{middle:.2f}", "rx": f"{_LONG / 2:g}", "ry": f"{_TALL / 2:g}"}
        SubElement(parent, f"{_SVG}ellipse", place | {"fill": look.PAPER, "stroke": look.FRAME})
    elif sign is Shape.ROUTING:
        top, bottom = middle - _TALL / 2, middle + _TALL / 2
        points = (
            f"{x + 6:.2f},{top:.2f} {x + _LONG:.2f},{top:.2f} {x + _LONG - 6:.2f},{bottom:.2f} {x:.2f},{bottom:.2f}"
        )
        SubElement(parent, f"{_SVG}polygon", {"points": points, "fill": look.PAPER, "stroke": look.FRAME})
    elif sign in look.GPUS:
        draw_gpus(parent, x, middle + _TALL / 2 - 2, (True,) * 3, sign)
    else:
        _frame(parent, x, middle, _FRAMES[sign])
        if sign == "folded":
            _rect(parent, x + 2.5, middle - _TALL / 2 + 2.5, _LONG - 5, _TALL - 5, _FRAMES[sign])


GPU_PITCH, _GPU = 9.0, 7.5


def draw_gpus(parent: Element, x: float, y: float, own: tuple[bool, ...], kind: str) -> None:
    """Squares on a baseline: in the tone of what they do, or hollow."""
    for index, one in enumerate(own):
        left, side = x + index * GPU_PITCH, _GPU if one else _GPU - 1
        style = {"fill": look.GPUS[kind]} if one else {"fill": "none", "stroke": look.FRAME}
        inset = 0.0 if one else 0.5
        _rect(parent, left + inset, y - _GPU + inset, side, side, style)


_FRAMES: dict[str, dict[str, str]] = {
    Shape.COMPUTE: {"fill": look.PAPER, "stroke": look.FRAME},
    "critical": {"fill": look.PAPER, "stroke": look.CRITICAL, "stroke-width": "2.6"},
    "slowest": {"fill": look.PAPER, "stroke": look.CRITICAL, "stroke-width": "2.6"},
    "folded": {"fill": look.PAPER, "stroke": look.FRAME},
    "fused": {"fill": look.PAPER, "stroke": look.FRAME, "stroke-dasharray": "1,3"},
    "idle": {"fill": look.IDLE},
    **{f"load{index}": {"fill": tone, "stroke": look.FRAME} for index, tone in enumerate(look.LOADS)},
}


def _frame(parent: Element, x: float, middle: float, style: dict[str, str]) -> None:
    _rect(parent, x, middle - _TALL / 2, _LONG, _TALL, style)


def _rect(parent: Element, x: float, y: float, long: float, tall: float, style: dict[str, str]) -> None:
    place = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{long:g}", "height": f"{tall:g}"}
    SubElement(parent, f"{_SVG}rect", place | style)


def _line(parent: Element, x: float, middle: float, line: Line) -> None:
    tone = look.LINES[line].get("color", look.MUTED)
    stroke = {"stroke": tone, "stroke-width": look.LINES[line].get("penwidth", look.EDGE["penwidth"]), "fill": "none"}
    stroke |= {"stroke-dasharray": _DASHES[line]} if line in _DASHES else {}
    SubElement(parent, f"{_SVG}path", {"d": f"M{x:.2f},{middle:.2f} H{x + _LONG - 6:.2f}"} | stroke)
    tip = x + _LONG
    points = f"{tip:.2f},{middle:.2f} {tip - 7:.2f},{middle - 3:.2f} {tip - 7:.2f},{middle + 3:.2f}"
    SubElement(parent, f"{_SVG}polygon", {"points": points, "fill": tone, "stroke": tone})
