"""The SVG file of a view: what the layout engine wrote, made to be read by people.

Names are set in bold, every text gets the width that its box was made for (so that no font of a reader's machine can
push it out), titles say what a pointer rests on, bars and the legend are drawn, the names of the other views are
links, and a dark page turns the tones over. Nothing here runs in a reader.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from dagc.export.renderers import Rendering
from dagc.export.views import look
from dagc.export.views.bar_svg import draw_bar
from dagc.export.views.dot import BLOCKS, EMPTY, SEPARATOR, head_lines, link_line
from dagc.export.views.gpus import OTHER, OWN
from dagc.export.views.legend import legend
from dagc.export.views.legend_svg import GPU_PITCH, add_patterns, draw_gpus, draw_samples
from dagc.export.views.paged import arrange
from dagc.export.views.svg_page import set_page, stack, style, text_width
from dagc.export.views.table_svg import draw_table
from dagc.export.views.text import width
from dagc.export.views.view import Bar, Distance, Gpus, Shape, View

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_HREF = f"{{{_XLINK}}}href"
_PAD = "\N{NO-BREAK SPACE} "

_BAR_SIGNS = frozenset((*BLOCKS.values(), EMPTY))
_GPU_SIGNS = frozenset((OWN, OTHER))

ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _XLINK)


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
    _bars(root, view)
    _gpus(root, view)
    _texts(root)
    for top in tops:
        set_page(root, top)
    add_patterns(root)
    style(root)
    root.insert(0, _title(view.name))
    comment = f"<!-- laid out by {_comment(rendering.renderer)} {_comment(rendering.version)} -->\n"
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{comment}{body}\n'.encode()


def _group(group: Element, folded: set[str]) -> None:
    """A node, an edge or a cluster: its hover text as a title, and a link only where it leads somewhere."""
    if group.get("class") not in ("node", "edge", "cluster"):
        return
    if group.get("class") == "cluster" and group.get("id") in folded:
        stack(group)
    told = ""
    for anchor in list(group.iter(f"{{{_SVG}}}a")):
        told = told or anchor.attrib.pop(f"{{{_XLINK}}}title", "").strip()
        if _HREF not in anchor.attrib:
            anchor.tag = f"{{{_SVG}}}g"
            anchor.attrib.clear()
        elif told:
            anchor.insert(0, _title(told))
    for title in group.findall(f"{{{_SVG}}}title"):
        title.text = told
        if not told:
            group.remove(title)
    first = next(group.iter(f"{{{_SVG}}}text"), None)
    if first is not None and group.get("class") != "edge" and not _is_bar(first.text or "") and not _is_table(group):
        first.set("font-weight", "bold")


def _is_table(group: Element) -> bool:
    return group.find(f".//{{{_SVG}}}polyline") is not None


def _head(top: Element, view: View) -> None:
    """The lines above the picture: the first in bold, the names of the views as links, the legend drawn."""
    titles = [element for element in top if element.tag == f"{{{_SVG}}}title"]
    anchors = [a for holder in top if holder.tag == f"{{{_SVG}}}g" and not holder.get("class") for a in holder]
    for title in titles:
        top.remove(title)
    for anchor in anchors:
        anchor.tag = f"{{{_SVG}}}g"
        anchor.attrib.clear()
    lines = [element for holder in (top, *anchors) for element in holder if element.tag == f"{{{_SVG}}}text"]
    samples = legend(view)
    plain = len(head_lines(view)) - len(samples)
    for index, text in enumerate(lines[:plain]):
        text.set("font-size", "15" if index == 0 else "11")
        if index == 0:
            text.set("font-weight", "bold")
        if (text.text or "").strip(_PAD) == link_line(view):
            _links(text, view)
    for text, line in zip(lines[plain:], samples, strict=False):
        x, y = float(text.get("x", "0")), float(text.get("y", "0"))
        text.tag, text.text = f"{{{_SVG}}}g", None
        text.attrib.clear()
        draw_samples(text, x, y, line)


def _links(text: Element, view: View) -> None:
    """The line of names, each a link to its view; the view itself in bold."""
    points = float(text.get("font-size", "11"))
    x, y = float(text.get("x", "0")), text.get("y", "0")
    text.tag, text.text = f"{{{_SVG}}}g", None
    text.attrib.clear()
    for one in Distance:
        if one is not view.distance and one not in view.others:
            continue
        parent = text
        if one is not view.distance:
            parent = SubElement(text, f"{{{_SVG}}}a", {_HREF: f"{one.stem}.svg", "target": "_top"})
        here = one is view.distance
        tone = look.INK if here else look.LINK
        named = SubElement(parent, f"{{{_SVG}}}text", {"x": f"{x:.2f}", "y": y, "font-size": f"{points:g}"})
        named.text = one.value
        named.attrib |= {"fill": tone, "font-family": look.FONT}
        named.attrib |= {"font-weight": "bold"} if here else {"text-decoration": "underline"}
        x += width(one.value, points, bold=here) + 2 * width(SEPARATOR, points)


def _bars(root: Element, view: View) -> None:
    """Block characters become drawn bars, in the order of a box's lines; the cells of tables are drawn."""
    by_name = {box.name: box for box in view.boxes()}
    for group in root.iter(f"{{{_SVG}}}g"):
        box = by_name.get(group.get("id", ""))
        if box is None:
            continue
        if box.shape is Shape.TABLE:
            draw_table(group, box)
            continue
        bars = iter([word for word in box.lines if isinstance(word, Bar)])
        for text in [element for element in group.iter(f"{{{_SVG}}}text") if _is_bar(element.text or "")]:
            draw_bar(text, next(bars))


def _is_bar(text: str) -> bool:
    bare = text.strip(_PAD)
    return bool(bare) and set(bare) <= _BAR_SIGNS


def _gpus(root: Element, view: View) -> None:
    """Characters of GPUs become squares, in the order of the lines of a box."""
    by_name = {box.name: box for box in view.boxes()}
    for group in root.iter(f"{{{_SVG}}}g"):
        box = by_name.get(group.get("id", ""))
        if box is None:
            continue
        rows = [line for line in box.lines if isinstance(line, Gpus) and line.own]
        texts = [one for one in group.iter(f"{{{_SVG}}}text") if (one.text or "").strip(_PAD)[:1] in _GPU_SIGNS]
        for text, row in zip(texts, rows, strict=False):
            _row(text, row)


def _row(text: Element, row: Gpus) -> None:
    x, y = float(text.get("x", "0")), float(text.get("y", "0"))
    named = dict(text.attrib)
    text.tag, text.text = f"{{{_SVG}}}g", None
    text.attrib.clear()
    draw_gpus(text, x, y, row.own, row.kind)
    if row.text:
        left = x + GPU_PITCH * len(row.own) + 4
        SubElement(text, f"{{{_SVG}}}text", named | {"x": f"{left:.2f}"}).text = row.text


def _texts(root: Element) -> None:
    """Every text in one family, without the room that was kept, and as wide as the letters of that family are."""
    for text in root.iter(f"{{{_SVG}}}text"):
        bare = (text.text or "").strip(_PAD)
        text.attrib.pop(_SPACE, None)
        text.text = bare
        text.set("font-family", f"{look.FONT}, Arial, sans-serif")
        long = text_width(text, bare)
        if long > 0:
            text.set("textLength", f"{long:.2f}")
            text.set("lengthAdjust", "spacingAndGlyphs")


def _title(text: str) -> Element:
    title = Element(f"{{{_SVG}}}title")
    title.text = text
    return title


def _comment(text: str) -> str:
    """Text that cannot end an XML comment."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w.+ -]", "", text))
