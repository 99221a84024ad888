"""Marks of a picture, drawn as SVG elements: bars, GPUs, signs of operators, arrows of a table, samples of the legend.

Layout engines leave characters in their places. Elements are added to a parent, in points.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement

from dagc.export.typesetting import width
from dagc.export.views import look
from dagc.export.views.legend import GAP_POINTS, SAMPLE_POINTS, LegendSample
from dagc.export.views.view import ArrowKind, Bar, BoxShape, Flow, Sign
from dagc.graph.priced import Bound

SVG = "{http://www.w3.org/2000/svg}"
"""Prefix of the tags of SVG elements."""

PAD = "\N{NO-BREAK SPACE} "
"""Characters of the room around a text."""

SIGN_ROOM = 13.0
"""From the middle of a sign to the right end of its cell, in points."""

GPU_PITCH, _GPU = 9.0, 7.5

_BAR = 8.0
"""Height of a bar in points."""

_SIGN_WIDE, _SIGN_TALL, _SIGN_SLANT = 13.0, 8.0, 4.0
_SAMPLE_WIDE, _SAMPLE_TALL, _SAMPLE_SLANT = 26.0, 11.0, 6.0
_LANE, _BEND = 8.0, 3.5
_FLOW_DASHES = {ArrowKind.CHOICE: "4,2", ArrowKind.ORDER: "1,2.5"}
_SAMPLE_DASHES = {ArrowKind.CHOICE: "5,2", ArrowKind.ORDER: "1,3"}

_PATTERNS = {
    Bound.COMPUTE: "",
    Bound.MEMORY: "M0,2 H4",
    Bound.NETWORK: "M-1,1 L1,-1 M0,4 L4,0 M3,5 L5,3",
    Bound.LATENCY: "M2,0 V4",
    Bound.NONE: "",
}
"""Lines of each pattern: none, level, slanted, upright."""

_FRAMES: dict[str, dict[str, str]] = {
    BoxShape.COMPUTE: {"fill": look.PAPER, "stroke": look.FRAME},
    "critical": {"fill": look.PAPER, "stroke": look.CRITICAL, "stroke-width": "2.6"},
    "slowest": {"fill": look.PAPER, "stroke": look.CRITICAL, "stroke-width": "2.6"},
    "folded": {"fill": look.PAPER, "stroke": look.FRAME},
    "fused": {"fill": look.PAPER, "stroke": look.FRAME, "stroke-dasharray": "1,3"},
    "idle": {"fill": look.IDLE},
    **{f"load{index}": {"fill": tone, "stroke": look.FRAME} for index, tone in enumerate(look.LOADS)},
}

Point = tuple[float, float]


def as_group(element: Element) -> dict[str, str]:
    """Make a plain group of an element, of a text for what is drawn in its place; returns the attributes it had."""
    attributes = dict(element.attrib)
    if element.tag == f"{SVG}text":
        element.text = None
    element.tag = f"{SVG}g"
    element.attrib.clear()
    return attributes


def position(text: Element) -> Point:
    """Where an element of text is placed: at its baseline."""
    return float(text.get("x", "0")), float(text.get("y", "0"))


def polygon(parent: Element, corners: Iterable[Point], style: dict[str, str]) -> None:
    """A polygon through these corners."""
    SubElement(parent, f"{SVG}polygon", {"points": " ".join(f"{x:.2f},{y:.2f}" for x, y in corners)} | style)


def draw_bar(text: Element, bar: Bar) -> None:
    """The parts of a bar by bound, over the width of the text, which becomes a group."""
    x, y = position(text)
    long = width((text.text or "").strip(PAD), float(text.get("font-size", "10")))
    x -= long / 2 if text.get("text-anchor") == "middle" else 0.0
    as_group(text)
    text.set("class", "bar")
    top = y - _BAR + 1
    if bar.whole:
        _rectangle(text, x, top, f"{long:.2f}", _BAR, {"fill": look.IDLE})
    for bound, share in bar.parts:
        if share > 0:
            for fill in (look.BARS[bound], f"url(#{bound.value})"):
                _rectangle(text, x, top, f"{long * share:.2f}", _BAR, {"fill": fill})
            x += long * share


def draw_gpus(parent: Element, x: float, y: float, own: tuple[bool, ...], kind: str) -> None:
    """Squares on a baseline: in the tone of what they do, or hollow."""
    for index, is_own in enumerate(own):
        left, side = x + index * GPU_PITCH, _GPU if is_own else _GPU - 1
        style = {"fill": look.GPUS[kind]} if is_own else {"fill": "none", "stroke": look.FRAME}
        inset = 0.0 if is_own else 0.5
        _rectangle(parent, left + inset, y - _GPU + inset, side, side, style)


def draw_sign(text: Element, middle: Point, sign: Sign) -> None:
    """A box, an ellipse or a parallelogram, in place of the character for it; dotted where it is fused."""
    as_group(text)
    style = {"fill": look.PAPER, "stroke": look.CRITICAL if sign.critical else look.MUTED}
    style |= {"stroke-width": "2" if sign.critical else "1.1"}
    style |= {"stroke-dasharray": "1.5,1.5"} if sign.fused else {}
    slant = _SIGN_SLANT if sign.shape is BoxShape.ROUTING else 0.0
    _operator(text, sign.shape, middle, (_SIGN_WIDE, _SIGN_TALL), slant, style)


def draw_flow(parent: Element, tail: Point, head: Point, flow: Flow) -> None:
    """An arrow from the sign of a row to that of another: straight down, or along a lane at the left."""
    tone = look.CRITICAL if flow.critical else look.LINES[flow.line].get("color", look.MUTED)
    style = {"stroke": tone, "fill": "none", "stroke-width": "1.8" if flow.critical else "1.2"}
    style |= {"stroke-dasharray": _FLOW_DASHES[flow.line]} if flow.line in _FLOW_DASHES else {}
    x, begin, end = tail[0], tail[1], head[1]
    if flow.lane == 0:
        begin, end = begin + _SIGN_TALL / 2, end - _SIGN_TALL / 2
        line = f"M{x:.2f},{begin:.2f} L{x:.2f},{end - 3:.2f}"
        tip = (x, end), (x - 2.5, end - 4.5), (x + 2.5, end - 4.5)
    else:
        edge = x - _SIGN_WIDE / 2
        lane = edge - 4 - _LANE * flow.lane
        begin, end = begin + 1.5, end - 1.5
        line = (
            f"M{edge:.2f},{begin:.2f} L{lane + _BEND:.2f},{begin:.2f} "
            f"Q{lane:.2f},{begin:.2f} {lane:.2f},{begin + _BEND:.2f} L{lane:.2f},{end - _BEND:.2f} "
            f"Q{lane:.2f},{end:.2f} {lane + _BEND:.2f},{end:.2f} L{edge - 3:.2f},{end:.2f}"
        )
        tip = (edge, end), (edge - 4.5, end - 2.5), (edge - 4.5, end + 2.5)
    SubElement(parent, f"{SVG}path", {"d": line} | style)
    polygon(parent, tip, {"fill": tone})


def draw_samples(parent: Element, x: float, y: float, samples: tuple[LegendSample, ...]) -> None:
    """One line of the legend, `y` its baseline: a small sample of each sign before its meaning."""
    for sample in samples:
        _sample(parent, x, y - 3.5, sample)
        at = {"x": f"{x + SAMPLE_POINTS - 4:.2f}", "y": f"{y:.2f}", "font-size": f"{look.TEXT_POINTS:g}"}
        SubElement(parent, f"{SVG}text", at | {"fill": look.INK}).text = sample.meaning
        x += SAMPLE_POINTS + width(sample.meaning, look.TEXT_POINTS) + GAP_POINTS


def add_patterns(root: Element) -> None:
    """Patterns that distinguish the parts of a bar without colour."""
    defs = SubElement(root, f"{SVG}defs")
    for bound, marks in _PATTERNS.items():
        size = {"width": "4", "height": "4", "patternUnits": "userSpaceOnUse", "id": bound.value}
        pattern = SubElement(defs, f"{SVG}pattern", size)
        if marks:
            SubElement(pattern, f"{SVG}path", {"d": marks, "stroke": "#ffffff", "stroke-width": "0.9", "fill": "none"})


def _sample(parent: Element, x: float, middle: float, sample: LegendSample) -> None:
    sign, top = sample.sign, middle - _SAMPLE_TALL / 2
    if isinstance(sign, ArrowKind):
        _line_sample(parent, x, middle, sign)
    elif isinstance(sign, Bound):
        frame = {"fill": look.BOUNDS[sign], "stroke": look.FRAME}
        _rectangle(parent, x, top, _SAMPLE_WIDE, _SAMPLE_TALL, frame)
        for fill in (look.BARS[sign], f"url(#{sign.value})"):
            _rectangle(parent, x, middle + 1.5, _SAMPLE_WIDE, 4.0, {"fill": fill})
    elif sign is BoxShape.COMMUNICATION or sign is BoxShape.ROUTING:
        size, style = (_SAMPLE_WIDE, _SAMPLE_TALL), {"fill": look.PAPER, "stroke": look.FRAME}
        _operator(parent, sign, (x + _SAMPLE_WIDE / 2, middle), size, _SAMPLE_SLANT, style)
    elif sign in look.GPUS:
        draw_gpus(parent, x, middle + _SAMPLE_TALL / 2 - 2, (True,) * 3, sign)
    else:
        _rectangle(parent, x, top, _SAMPLE_WIDE, _SAMPLE_TALL, _FRAMES[sign])
        if sign == "folded":
            _rectangle(parent, x + 2.5, top + 2.5, _SAMPLE_WIDE - 5, _SAMPLE_TALL - 5, _FRAMES[sign])


def _line_sample(parent: Element, x: float, middle: float, line: ArrowKind) -> None:
    tone = look.LINES[line].get("color", look.MUTED)
    stroke = {"stroke": tone, "stroke-width": look.LINES[line].get("penwidth", look.EDGE["penwidth"]), "fill": "none"}
    stroke |= {"stroke-dasharray": _SAMPLE_DASHES[line]} if line in _SAMPLE_DASHES else {}
    SubElement(parent, f"{SVG}path", {"d": f"M{x:.2f},{middle:.2f} H{x + _SAMPLE_WIDE - 6:.2f}"} | stroke)
    tip = x + _SAMPLE_WIDE
    polygon(parent, ((tip, middle), (tip - 7, middle - 3), (tip - 7, middle + 3)), {"fill": tone, "stroke": tone})


def _operator(
    parent: Element, shape: BoxShape, middle: Point, size: Point, slant: float, style: dict[str, str]
) -> None:
    """An ellipse for communication; else a box whose upper side is moved by `slant`."""
    (x, y), (wide, tall) = middle, size
    if shape is BoxShape.COMMUNICATION:
        place = {"cx": f"{x:.2f}", "cy": f"{y:.2f}", "rx": f"{wide / 2:g}", "ry": f"{tall / 2:g}"}
        SubElement(parent, f"{SVG}ellipse", place | style)
        return
    left, top, right, bottom = x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2
    polygon(parent, ((left + slant, top), (right, top), (right - slant, bottom), (left, bottom)), style)


def _rectangle(parent: Element, x: float, y: float, wide: float | str, tall: float, style: dict[str, str]) -> None:
    size = {"width": wide if isinstance(wide, str) else f"{wide:g}", "height": f"{tall:g}"}
    SubElement(parent, f"{SVG}rect", {"x": f"{x:.2f}", "y": f"{y:.2f}"} | size | style)
