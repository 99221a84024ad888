"""Tables of a picture, drawn: cells filled by load, bars, and what a pointer is shown of each row.

Layout engines draw a table as a frame with separators and one text for each cell that is not empty, column by column.
The cell of a text is what the separators around it enclose.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement

from dagc.export.views import look
from dagc.export.views.marks_svg import SIGN_ROOM, SVG, Point, draw_bar, draw_flow, draw_sign, position
from dagc.export.views.view import Bar, Box, Cell, LoadTile, Sign

_Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_NEAR = 0.1


def draw_table(group: Element, box: Box) -> None:
    """What the cells of a table show beside text. `group` is its node."""
    frame = next(group.iter(f"{SVG}polygon"))
    parent = next(one for one in group.iter() if frame in list(one))
    lines = tuple(_lines(group))
    for separator in group.iter(f"{SVG}polyline"):
        separator.set("stroke", look.IDLE)
    for blank in [one for one in parent if one.tag == f"{SVG}text" and not (one.text or "").strip()]:
        parent.remove(blank)
    texts = list(group.iter(f"{SVG}text"))
    rows = [_row(parent, hover) for hover in box.hovers]
    signs: list[_Rectangle] = []
    for text, (row, cell) in zip(texts, _cells(box), strict=True):
        place = _around(text, lines)
        if isinstance(cell, LoadTile):
            parent.insert(list(parent).index(frame) + 1, _tile(place, cell))
        if isinstance(cell, Sign):
            signs.append(place)
        _draw(text, place, cell, is_head=row < 0)
        if rows and row >= 0:
            parent.remove(text)
            rows[row].append(text)
    right = max(line[2] for line in lines)
    for row, (left, top, _, bottom) in zip(rows, signs, strict=True):
        # The area of a row, without paint, so that a pointer is on the row between texts too.
        area = _size((left, top, right, bottom)) | {"fill": "none", "pointer-events": "all"}
        row.insert(1, Element(f"{SVG}rect", area))
    for flow in box.flows:
        draw_flow(parent, _middle(signs[flow.tail]), _middle(signs[flow.head]), flow)


def _draw(text: Element, place: _Rectangle, cell: Cell, is_head: bool) -> None:
    """What a cell shows, in place of its text."""
    if isinstance(cell, Bar):
        draw_bar(text, cell)
    elif isinstance(cell, LoadTile):
        _centre(text, place)
    elif isinstance(cell, Sign):
        draw_sign(text, _middle(place), cell)
    elif is_head:
        text.set("fill", look.MUTED)


def _middle(place: _Rectangle) -> Point:
    """Where the sign of a cell is: at its right end."""
    return place[2] - SIGN_ROOM, (place[1] + place[3]) / 2


def _cells(box: Box) -> Iterator[tuple[int, Cell]]:
    """The cells with text, each with its row; -1 for the heads."""
    for column in box.columns:
        yield from ((row, cell) for row, cell in enumerate((column.head, *column.cells), -1) if cell != "")


def _row(parent: Element, hover: tuple[str, ...]) -> Element:
    """The group of a row, with what a pointer on it is shown; a search of the page finds it."""
    group = SubElement(parent, f"{SVG}g", {"class": "row"})
    SubElement(group, f"{SVG}title").text = "\n".join(hover)
    return group


def _size(place: _Rectangle) -> dict[str, str]:
    left, top, right, bottom = place
    size = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return {name: f"{value:.2f}" for name, value in size.items()}


def _tile(place: _Rectangle, tile: LoadTile) -> Element:
    """The filled cell, with its hover text."""
    rect = Element(f"{SVG}rect", _size(place))
    rect.attrib |= {"fill": look.load_tone(tile.share), "stroke": look.FRAME, "stroke-width": "0.5"}
    if tile.hover:
        SubElement(rect, f"{SVG}title").text = "\n".join(tile.hover)
    return rect


def _centre(text: Element, place: _Rectangle) -> None:
    text.set("text-anchor", "middle")
    text.set("x", f"{(place[0] + place[2]) / 2:.2f}")
    text.set("pointer-events", "none")


def _lines(group: Element) -> Iterator[tuple[float, float, float, float]]:
    """Sides of the frame and separators: x, y of one end and of the other."""
    for shape in group.iter():
        if shape.tag in (f"{SVG}polygon", f"{SVG}polyline"):
            points = [tuple(map(float, point.split(","))) for point in shape.get("points", "").split()]
            for a, b in pairwise(points):
                yield a[0], a[1], b[0], b[1]


def _around(text: Element, lines: tuple[tuple[float, float, float, float], ...]) -> _Rectangle:
    """The cell around a text."""
    x, y = position(text)
    y -= 3
    upright = [a for a, b, c, d in lines if abs(a - c) < _NEAR and min(b, d) <= y <= max(b, d)]
    level = [b for a, b, c, d in lines if abs(b - d) < _NEAR and min(a, c) <= x <= max(a, c)]
    return (
        max(one for one in upright if one <= x),
        max(one for one in level if one <= y),
        min(one for one in upright if one > x),
        min(one for one in level if one > y),
    )
