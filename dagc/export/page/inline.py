"""A picture of its own becomes a part of the page: its ids and its style reach no other part.

Turns an SVG document into markup. Every id gets a prefix, and so do the references to it; rules of style are nested
under the picture's own id. What could run or load something is dropped: the pictures have none, but another layout
engine may draw them one day. Raises `ElementTree.ParseError` for what is no XML.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_DROPPED = {f"{{{_SVG}}}{name}" for name in ("script", "foreignObject", "animate", "set")}
_LINKS = ("href", f"{{{_XLINK}}}href")


def inlined(svg: str, name: str) -> Markup:
    """The picture with `name` as the prefix of its ids and as its own id."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        _clean(element, name)
    root.set("id", name)
    root.set("class", f"picture {root.get('class', '')}".rstrip())
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(element: ElementTree.Element, prefix: str) -> None:
    for child in [child for child in element if child.tag in _DROPPED]:
        element.remove(child)
    for key, value in list(element.attrib.items()):
        if key.lower().startswith("on"):
            del element.attrib[key]
        elif key == "id":
            element.set(key, f"{prefix}-{value}")
        elif key in _LINKS:
            _link(element, key, value, prefix)
        elif "url(#" in value:
            element.set(key, _referring(value, prefix))
    if element.tag == f"{{{_SVG}}}style":
        element.text = f"#{prefix} {{ {_referring(element.text or '', prefix)} }}"


def _link(element: ElementTree.Element, key: str, value: str, prefix: str) -> None:
    """A link within the picture stays; any other goes, its text remains."""
    if value.startswith("#"):
        element.set(key, f"#{prefix}-{value[1:]}")
    else:
        del element.attrib[key]


def _referring(value: str, prefix: str) -> str:
    return re.sub(r"url\(#", f"url(#{prefix}-", value)
