"""Signs of operators and the arrows between them, drawn in the first column of a table."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from dagc.export.views import look
from dagc.export.views.view import Flow, Line, Shape, Sign

_SVG = "{http://www.w3.org/2000/svg}"
_Point = tuple[float, float]

SIGN_ROOM = 13.0
"""From the middle of a sign to the right end of its cell, in points."""

_WIDE, _TALL = 13.0, 8.0
_LANE = 8.0
_BEND = 3.5
_DASHES = {Line.CHOICE: "4,2", Line.ORDER: "1,2.5"}


def draw_sign(text: Element, middle: _Point, sign: Sign) -> None:
    """A box, an ellipse or a parallelogram, in place of the character for it; dotted where it is fused."""
    x, y = middle
    text.tag, text.text = f"{_SVG}g", None
    text.attrib.clear()
    style = {"fill": look.PAPER, "stroke": look.CRITICAL if sign.critical else look.MUTED}
    style |= {"stroke-width": "2" if sign.critical else "1.1"}
    style |= {"stroke-dasharray": "1.5,1.5"} if sign.fused else {}
    left, top, right, bottom = x - _WIDE / 2, y - _TALL / 2, x + _WIDE / 2, y + _TALL / 2
    if sign.shape is Shape.COMMUNICATION:
        place = {"cx": f"{x:.2f}", "cy": f"{y:.2f}", "rx": f"{_WIDE / 2:g}", "ry": f"{_TALL / 2:g}"}
        SubElement(text, f"{_SVG}ellipse", place | style)
        return
    slant = 4.0 if sign.shape is Shape.ROUTING else 0.0
    corners = ((left + slant, top), (right, top), (right - slant, bottom), (left, bottom))
    points = " ".join(f"{a:.2f},{b:.2f}" for a, b in corners)
    SubElement(text, f"{_SVG}polygon", {"points": points} | style)


def draw_flow(parent: Element, tail: _Point, head: _Point, flow: Flow) -> None:
    """An arrow from the sign of a row to that of another: straight down, or along a lane at the left."""
    tone = look.CRITICAL if flow.critical else look.LINES[flow.line].get("color", look.MUTED)
    style = {"stroke": tone, "fill": "none", "stroke-width": "1.8" if flow.critical else "1.2"}
    style |= {"stroke-dasharray": _DASHES[flow.line]} if flow.line in _DASHES else {}
    x, begin, end = tail[0], tail[1], head[1]
    if flow.lane == 0:
        begin, end = begin + _TALL / 2, end - _TALL / 2
        SubElement(parent, f"{_SVG}path", {"d": f"M{x:.2f},{begin:.2f} L{x:.2f},{end - 3:.2f}"} | style)
        tip = f"{x:.2f},{end:.2f} {x - 2.5:.2f},{end - 4.5:.2f} {x + 2.5:.2f},{end - 4.5:.2f}"
    else:
        edge = x - _WIDE / 2
        lane = edge - 4 - _LANE * flow.lane
        begin, end = begin + 1.5, end - 1.5
        way = (
            f"M{edge:.2f},{begin:.2f} L{lane + _BEND:.2f},{begin:.2f} "
            f"Q{lane:.2f},{begin:.2f} {lane:.2f},{begin + _BEND:.2f} L{lane:.2f},{end - _BEND:.2f} "
            f"Q{lane:.2f},{end:.2f} {lane + _BEND:.2f},{end:.2f} L{edge - 3:.2f},{end:.2f}"
        )
        SubElement(parent, f"{_SVG}path", {"d": way} | style)
        tip = f"{edge:.2f},{end:.2f} {edge - 4.5:.2f},{end - 2.5:.2f} {edge - 4.5:.2f},{end + 2.5:.2f}"
    SubElement(parent, f"{_SVG}polygon", {"points": tip, "fill": tone})
