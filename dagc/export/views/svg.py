"""The SVG file of a view: what the layout engine wrote, made to be read by people.

Names are set in bold, every text gets the width that its box was made for (so that no font of a reader's machine can
push it out), titles say what a pointer rests on, bars and the legend are drawn, the names of the other views are
links, and a dark page turns the tones over. Nothing here runs in a reader.

Tables of a picture, drawn: cells filled by load, bars, and what a pointer is shown of each row.

Layout engines draw a table as a frame with separators and one text for each cell that is not empty, column by column.
The cell of a text is what the separators around it enclose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from dagc.export.renderers import Rendering
from dagc.export.typesetting import width
from dagc.export.views import look
from dagc.export.views.dot import BLOCKS, EMPTY, SEPARATOR, head_lines, link_line
from dagc.export.views.gpus import OTHER, OWN
from dagc.export.views.legend import legend
from dagc.export.views.marks_svg import (
    GPU_PITCH,
    PAD,
    SIGN_ROOM,
    SVG,
    Point,
    add_patterns,
    as_group,
    draw_bar,
    draw_flow,
    draw_gpus,
    draw_samples,
    draw_sign,
    position,
)
from dagc.export.views.paged import NUMBER, arrange
from dagc.export.views.view import Bar, Box, BoxShape, Cell, Distance, Gpus, LoadTile, Sign, View

_XLINK = "{http://www.w3.org/1999/xlink}"
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_HREF = f"{_XLINK}href"

_GROUPS = ("node", "edge", "cluster")
"""Classes of the groups that engines draw."""

_MARGIN = 14.0
_STACK = 4.0
"""How far the frame behind a folded cluster is moved."""

_BAR_SIGNS = frozenset((*BLOCKS.values(), EMPTY))
_GPU_SIGNS = frozenset((OWN, OTHER))

ElementTree.register_namespace("", SVG[1:-1])
ElementTree.register_namespace("xlink", _XLINK[1:-1])


def finished(rendering: Rendering, view: View) -> bytes:
    """The file, UTF-8, with a comment that names the engine and its version."""
    root = ElementTree.fromstring(rendering.svg)
    root.set("role", "img")
    tops = [element for element in root if element.get("class") == "graph"]
    folded = {cluster.name for cluster in view.clusters() if cluster.folded}
    for top in tops:
        if view.page:
            arrange(root, top, view)
        _head(top, view)
        for group in top:
            _group(group, folded)
    _marks(root, view)
    _texts(root)
    for top in tops:
        _page(root, top)
    add_patterns(root)
    _style(root)
    root.insert(0, _title(view.name))
    comment = f"<!-- laid out by {_comment(rendering.renderer)} {_comment(rendering.version)} -->\n"
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{comment}{body}\n'.encode()


def _group(group: Element, folded: set[str]) -> None:
    """A node, an edge or a cluster: its hover text as a title, and a link only where it leads somewhere."""
    if group.get("class") not in _GROUPS:
        return
    if group.get("class") == "cluster" and group.get("id") in folded:
        _stack(group)
    hover = ""
    for anchor in list(group.iter(f"{SVG}a")):
        hover = hover or anchor.attrib.pop(f"{_XLINK}title", "").strip()
        if _HREF not in anchor.attrib:
            as_group(anchor)
        elif hover:
            anchor.insert(0, _title(hover))
    for title in group.findall(f"{SVG}title"):
        title.text = hover
        if not hover:
            group.remove(title)
    first = next(group.iter(f"{SVG}text"), None)
    is_table = group.find(f".//{SVG}polyline") is not None
    if first is not None and group.get("class") != "edge" and not _is_bar(first.text or "") and not is_table:
        first.set("font-weight", "bold")


def _stack(group: Element) -> None:
    """A second frame behind that of a folded cluster, as of a sheet below the first."""
    frame = next((shape for shape in group.iter() if shape.tag in (f"{SVG}path", f"{SVG}polygon")), None)
    if frame is not None:
        shift = {"transform": f"translate({_STACK:g} {_STACK:g})"}
        group.insert(0, Element(frame.tag, dict(frame.attrib) | shift))


def _head(top: Element, view: View) -> None:
    """The lines above the picture: the first in bold, the names of the views as links, the legend drawn."""
    titles = [element for element in top if element.tag == f"{SVG}title"]
    anchors = [a for holder in top if holder.tag == f"{SVG}g" and not holder.get("class") for a in holder]
    for title in titles:
        top.remove(title)
    for anchor in anchors:
        as_group(anchor)
    lines = [element for holder in (top, *anchors) for element in holder if element.tag == f"{SVG}text"]
    samples = legend(view)
    plain = len(head_lines(view)) - len(samples)
    for index, text in enumerate(lines[:plain]):
        text.set("font-size", "15" if index == 0 else "11")
        if index == 0:
            text.set("font-weight", "bold")
        if (text.text or "").strip(PAD) == link_line(view):
            _links(text, view)
    for text, line in zip(lines[plain:], samples, strict=False):
        x, y = position(text)
        as_group(text)
        draw_samples(text, x, y, line)


def _links(text: Element, view: View) -> None:
    """The line of names, each a link to its view; the view itself in bold."""
    x, attributes = position(text)[0], as_group(text)
    points, y = float(attributes.get("font-size", "11")), attributes.get("y", "0")
    for distance in Distance:
        is_here = distance is view.distance
        if not is_here and distance not in view.others:
            continue
        link = {_HREF: f"{distance.stem}.svg", "target": "_top"}
        parent = text if is_here else SubElement(text, f"{SVG}a", link)
        name = SubElement(parent, f"{SVG}text", {"x": f"{x:.2f}", "y": y, "font-size": f"{points:g}"})
        name.text = distance.value
        name.attrib |= {"fill": look.INK if is_here else look.LINK, "font-family": look.FONT}
        name.attrib |= {"font-weight": "bold"} if is_here else {"text-decoration": "underline"}
        x += width(distance.value, points, bold=is_here) + 2 * width(SEPARATOR, points)


def _marks(root: Element, view: View) -> None:
    """Characters for bars and GPUs become drawings, in the order of a box's lines; the cells of tables are drawn."""
    boxes = {box.name: box for box in view.boxes()}
    for group in root.iter(f"{SVG}g"):
        box = boxes.get(group.get("id", ""))
        if box is None:
            continue
        if box.shape is BoxShape.TABLE:
            draw_table(group, box)
            continue
        bars = iter([word for word in box.lines if isinstance(word, Bar)])
        for text in [element for element in group.iter(f"{SVG}text") if _is_bar(element.text or "")]:
            draw_bar(text, next(bars))
        rows = [line for line in box.lines if isinstance(line, Gpus) and line.own]
        texts = [text for text in group.iter(f"{SVG}text") if (text.text or "").strip(PAD)[:1] in _GPU_SIGNS]
        for text, row in zip(texts, rows, strict=False):
            _gpus(text, row)


def _is_bar(text: str) -> bool:
    bare = text.strip(PAD)
    return bool(bare) and set(bare) <= _BAR_SIGNS


def _gpus(text: Element, row: Gpus) -> None:
    x, y = position(text)
    attributes = as_group(text)
    draw_gpus(text, x, y, row.own, row.kind)
    if row.text:
        left = x + GPU_PITCH * len(row.own) + 4
        SubElement(text, f"{SVG}text", attributes | {"x": f"{left:.2f}"}).text = row.text


def _texts(root: Element) -> None:
    """Every text in one family, without the room that was kept, and as wide as the letters of that family are."""
    for text in root.iter(f"{SVG}text"):
        bare = (text.text or "").strip(PAD)
        text.attrib.pop(_SPACE, None)
        text.text = bare
        text.set("font-family", f"{look.FONT}, Arial, sans-serif")
        long = width(bare, float(text.get("font-size", "10")), text.get("font-weight") == "bold")
        if long > 0:
            text.set("textLength", f"{long:.2f}")
            text.set("lengthAdjust", "spacingAndGlyphs")


def _page(root: Element, top: Element) -> None:
    """Move the drawing to the left margin under its head, and cut the paper to size. `top` holds the drawing.

    Layout engines centre a drawing below a wider head; read from the left, that leaves a hole.
    """
    groups = [group for group in top if group.get("class") in _GROUPS]
    head = [x for group in top if group not in groups for x in _text_ends(group)]
    body = [x for group in groups for x in _ends(group)]
    if not head:
        return
    left = min(head)
    shift = left - min(body, default=left)
    for group in groups:
        group.set("transform", f"translate({shift:.2f} 0)")
    _cut(root, top, left - _MARGIN, max(*head, max(body, default=left) + shift) + _MARGIN)


def _cut(root: Element, top: Element, left: float, right: float) -> None:
    """Size of the page, and paper under all of it."""
    box = [float(number) for number in NUMBER.findall(root.get("viewBox", ""))]
    if len(box) != 4:
        return
    tall, wide = box[3], right - left
    moved = re.search(r"translate\((\S+) (\S+)\)", top.get("transform", ""))
    top.set("transform", f"translate({-left:.2f} {moved[2] if moved else '0'})")
    root.attrib |= {"width": f"{wide:.2f}pt", "height": f"{tall:.2f}pt", "viewBox": f"0 0 {wide:.2f} {tall:.2f}"}
    for paper in [element for element in top if element.tag == f"{SVG}polygon"]:
        top.remove(paper)
    size = {"width": f"{wide:.2f}", "height": f"{tall:.2f}", "fill": look.PAPER}
    root.insert(0, Element(f"{SVG}rect", size))


def _ends(group: Element) -> Iterator[float]:
    """Left and right ends of what a group draws."""
    for element in group.iter():
        points = element.get("points") or element.get("d")
        if points:
            yield from (float(number) for number in NUMBER.findall(points)[::2])
        elif "cx" in element.attrib:
            middle, radius = float(element.attrib["cx"]), float(element.attrib["rx"])
            yield from (middle - radius, middle + radius)
    yield from _text_ends(group)


def _text_ends(group: Element) -> Iterator[float]:
    """Left and right ends of the texts and rectangles of a group."""
    for text in group.iter(f"{SVG}text"):
        x, long = position(text)[0], float(text.get("textLength", "0"))
        first = x - long / 2 if text.get("text-anchor") == "middle" else x
        yield from (first, first + long)
    for rectangle in group.iter(f"{SVG}rect"):
        x = position(rectangle)[0]
        yield from (x, x + float(rectangle.get("width", "0")))


def _style(root: Element) -> None:
    """The tones of a dark page, and the mark of what a link leads to."""
    dark = "".join(
        f'[fill="{light}"] {{ fill: {tone} }} [stroke="{light}"] {{ stroke: {tone} }} '
        for light, tone in look.DARK.items()
    )
    rules = Element(f"{SVG}style")
    rules.text = (
        "a { cursor: pointer } g:target > polygon, g:target > path, g:target a > path, g:target a > polygon"
        f" {{ stroke-width: 4 }} @media (prefers-color-scheme: dark) {{ {dark}}}"
    )
    root.insert(0, rules)


def _title(text: str) -> Element:
    title = Element(f"{SVG}title")
    title.text = text
    return title


def _comment(text: str) -> str:
    """Text that cannot end an XML comment."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w.+ -]", "", text))


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
