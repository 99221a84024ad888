"""The page of a picture: the drawing moved to the left margin under its head, the paper cut to size, dark tones.

Layout engines centre a drawing below a wider head; read from the left, that leaves a hole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement

from dagc.export.views import look
from dagc.export.views.text import width

_SVG = "{http://www.w3.org/2000/svg}"
_MARGIN = 14.0
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_STACK = 4.0
"""How far the frame behind a folded cluster is moved."""


def set_page(root: Element, top: Element) -> None:
    """Move, cut and colour the page. `top` holds the drawing; positions in it are in points."""
    groups = [group for group in top if group.get("class") in ("node", "edge", "cluster")]
    head = [group for group in top if group not in groups]
    body = [x for group in groups for x in _abscissas(group)]
    said = [x for group in head for x in _texts(group)]
    if not said:
        return
    left = min(said)
    shift = left - min(body, default=left)
    for group in groups:
        group.set("transform", f"translate({shift:.2f} 0)")
    right = max(*said, max(body, default=left) + shift)
    _cut(root, top, left - _MARGIN, right + _MARGIN)


def _cut(root: Element, top: Element, left: float, right: float) -> None:
    """Size of the page, and paper under all of it."""
    found = [float(number) for number in _NUMBER.findall(root.get("viewBox", ""))]
    if len(found) != 4:
        return
    tall, wide = found[3], right - left
    moved = re.search(r"translate\((\S+) (\S+)\)", top.get("transform", ""))
    down = moved[2] if moved else "0"
    top.set("transform", f"translate({-left:.2f} {down})")
    root.attrib |= {"width": f"{wide:.2f}pt", "height": f"{tall:.2f}pt", "viewBox": f"0 0 {wide:.2f} {tall:.2f}"}
    for paper in [element for element in top if element.tag == f"{_SVG}polygon"]:
        top.remove(paper)
    size = {"width": f"{wide:.2f}", "height": f"{tall:.2f}", "fill": look.PAPER}
    root.insert(0, Element(f"{_SVG}rect", size))


def _abscissas(group: Element) -> Iterator[float]:
    """Left and right ends of what a group draws."""
    for element in group.iter():
        points = element.get("points") or element.get("d")
        if points:
            yield from (float(number) for number in _NUMBER.findall(points)[::2])
        elif "cx" in element.attrib:
            middle, radius = float(element.attrib["cx"]), float(element.attrib["rx"])
            yield from (middle - radius, middle + radius)
    yield from _texts(group)


def _texts(group: Element) -> Iterator[float]:
    for text in group.iter(f"{_SVG}text"):
        x, long = float(text.get("x", "0")), float(text.get("textLength", "0"))
        first = x - long / 2 if text.get("text-anchor") == "middle" else x
        yield from (first, first + long)
    for rect in group.iter(f"{_SVG}rect"):
        x = float(rect.get("x", "0"))
        yield from (x, x + float(rect.get("width", "0")))


def stack(group: Element) -> None:
    """A second frame behind that of a folded cluster, as of a sheet below the first."""
    shapes = [one for one in group.iter() if one.tag in (f"{_SVG}path", f"{_SVG}polygon")]
    if shapes:
        behind = Element(shapes[0].tag, dict(shapes[0].attrib) | {"transform": f"translate({_STACK:g} {_STACK:g})"})
        group.insert(0, behind)


def style(root: Element) -> None:
    """What turns over on a dark page, and what a link leads to."""
    rules = SubElement(root, f"{_SVG}style")
    root.remove(rules)
    root.insert(0, rules)
    dark = "".join(_turned(light, tone) for light, tone in look.DARK.items())
    rules.text = (
        "a { cursor: pointer } g:target > polygon, g:target > path, g:target a > path, g:target a > polygon"
        f" {{ stroke-width: 4 }} @media (prefers-color-scheme: dark) {{ {dark}}}"
    )


def _turned(light: str, dark: str) -> str:
    return f'[fill="{light}"] {{ fill: {dark} }} [stroke="{light}"] {{ stroke: {dark} }} '


def text_width(text: Element, bare: str) -> float:
    """Width of a text in the size and weight that it has."""
    return width(bare, float(text.get("font-size", "10")), text.get("font-weight") == "bold")
