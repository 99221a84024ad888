"""A picture of its own becomes a part of the page, and neither reaches the other.

Turns an SVG document into the content of a shadow root, whose ids, classes and style are its own. What could run or
load something is dropped: the pictures have none, but a layout engine is another program. Raises
`ElementTree.ParseError` for what is no XML.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

from dagc.export.page.markup import tag

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_DROPPED = {f"{{{_SVG}}}{name}" for name in ("script", "foreignObject", "animate", "set", "image", "use")}
_HREFS = ("href", f"{{{_XLINK}}}href")
_VIEW = re.compile(r"([a-z]+)\.svg")
"""A link to a picture beside this one; the page's script leads to its tab."""

_TITLE, _TOOLTIP = f"{{{_SVG}}}title", f"{{{_XLINK}}}title"

_NAMES_OF_ENGINE = {"graph", "node", "edge", "cluster"}
"""Classes of groups that Graphviz titles with its own names for them, which say nothing to a reader.

It does so where it gives what a reader wants to know as the title of a link; a picture that was worked over has none.
"""


def inlined(svg: str, style: str) -> Markup:
    """A template that the reader's browser makes a shadow root of the element around it; `style` holds in it alone."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    elements = list(root.iter())
    is_raw = any(_TOOLTIP in element.attrib for element in elements)
    for element in elements:
        _clean(element, is_raw)
    drawing = Markup(ElementTree.tostring(root, encoding="unicode"))
    return tag("template", tag("style", Markup(style)), drawing, shadowrootmode="open")


def _clean(element: ElementTree.Element, is_raw: bool) -> None:
    for child in [child for child in element if child.tag in _DROPPED or (is_raw and _is_name(element, child))]:
        element.remove(child)
    for key in [key for key in element.attrib if key.lower().startswith("on") or key in _HREFS]:
        value = element.attrib.pop(key)
        if key in _HREFS and (view := _VIEW.fullmatch(value)):
            element.set("data-view", view[1])
    tooltip = element.attrib.pop(_TOOLTIP, None)
    if tooltip is not None:
        title = ElementTree.Element(_TITLE)
        title.text = tooltip
        element.insert(0, title)


def _is_name(group: ElementTree.Element, child: ElementTree.Element) -> bool:
    return child.tag == _TITLE and group.get("class") in _NAMES_OF_ENGINE
