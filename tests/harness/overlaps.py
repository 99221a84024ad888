"""Which texts of a picture lie over each other, leave the box that they stand in, or have a line through them.

Reads an SVG as the exports write it: each text states how wide it is drawn (`textLength`), and its height follows from
its size. Positions are in points, moved by the groups that they stand in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SVG = "{http://www.w3.org/2000/svg}"
ASCENT, DESCENT = 0.72, 0.16
"""Height of capitals above the baseline, and of what hangs below it, as shares of the size."""
TOLERANCE = 0.6


@dataclass(frozen=True, slots=True)
class Label:
    """A text and the rectangle that it takes; `box` is the outline of the thing that it belongs to, if any."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    box: Outline | None


@dataclass(frozen=True, slots=True)
class Outline:
    """An ellipse by its rectangle, or a polygon by its corners."""

    corners: tuple[tuple[float, float], ...]
    is_ellipse: bool

    def holds(self, x: float, y: float) -> bool:
        xs, ys = [a for a, _ in self.corners], [b for _, b in self.corners]
        if self.is_ellipse:
            across, down = (max(xs) - min(xs)) / 2 + TOLERANCE, (max(ys) - min(ys)) / 2 + TOLERANCE
            return ((x - sum(xs) / len(xs)) / across) ** 2 + ((y - sum(ys) / len(ys)) / down) ** 2 <= 1
        return _inside(x, y, self.corners)


def complaints(svg: str) -> list[str]:
    """One line for each pair of texts that overlap and each text that leaves its box."""
    found = labels(svg)
    rows: dict[int, list[Label]] = {}
    for label in found:
        for row in range(int(label.top // 20), int(label.bottom // 20) + 1):
            rows.setdefault(row, []).append(label)
    told = {f"{a.text!r} lies over {b.text!r}" for row in rows.values() for a, b in combinations(row, 2) if _meet(a, b)}
    told |= {f"{label.text!r} leaves its box" for label in found if not _is_inside(label)}
    points = [point for line in _lines(ElementTree.fromstring(svg), 0.0, 0.0) for point in line]
    told |= {
        f"{label.text!r} has a line through it"
        for x, y in points
        for label in rows.get(int(y // 20), ())
        if _on(x, y, label)
    }
    return sorted(told)


def labels(svg: str) -> list[Label]:
    """All texts of a picture with their rectangles."""
    root = ElementTree.fromstring(svg)
    return list(_labels(root, 0.0, 0.0, None))


def _labels(element: Element, x: float, y: float, box: Outline | None) -> Iterator[Label]:
    moved = re.search(r"translate\((\S+) (\S+?)\)", element.get("transform", ""))
    x, y = (x + float(moved[1]), y + float(moved[2])) if moved else (x, y)
    if element.get("class") in ("node", "cluster"):
        box = _outline(element, x, y)
    if element.tag == f"{SVG}text" and (element.text or "").strip():
        yield _label(element, x, y, box)
    for child in element:
        yield from _labels(child, x, y, box)


def _label(text: Element, x: float, y: float, box: Outline | None) -> Label:
    size, long = float(text.get("font-size", "10")), float(text.attrib["textLength"])
    left = x + float(text.attrib["x"]) - (long / 2 if text.get("text-anchor") == "middle" else 0.0)
    line = y + float(text.attrib["y"])
    return Label(text.text or "", left, line - ASCENT * size, left + long, line + DESCENT * size, box)


def _outline(group: Element, x: float, y: float) -> Outline | None:
    """The outermost shape of a node or cluster."""
    found: list[Outline] = []
    for shape in group.iter():
        if shape.tag == f"{SVG}ellipse":
            cx, cy, rx, ry = (float(shape.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
            found.append(Outline(((x + cx - rx, y + cy - ry), (x + cx + rx, y + cy + ry)), True))
        elif shape.tag in (f"{SVG}polygon", f"{SVG}path"):
            numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", shape.get("points") or shape.get("d", ""))]
            corners = tuple((x + a, y + b) for a, b in zip(numbers[::2], numbers[1::2], strict=True))
            found.append(Outline(_rectangle(corners) if shape.tag == f"{SVG}path" else corners, False))
    return max(found, key=_area, default=None)


def _rectangle(corners: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    xs, ys = [a for a, _ in corners], [b for _, b in corners]
    return ((min(xs), min(ys)), (max(xs), min(ys)), (max(xs), max(ys)), (min(xs), max(ys)))


def _area(outline: Outline) -> float:
    xs, ys = [a for a, _ in outline.corners], [b for _, b in outline.corners]
    return (max(xs) - min(xs)) * (max(ys) - min(ys))


def _lines(element: Element, x: float, y: float) -> Iterator[list[tuple[float, float]]]:
    """Points along each arrow: cubic curves, sampled."""
    moved = re.search(r"translate\((\S+) (\S+?)\)", element.get("transform", ""))
    x, y = (x + float(moved[1]), y + float(moved[2])) if moved else (x, y)
    if element.get("class") == "edge":
        for path in element.iter(f"{SVG}path"):
            numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path.attrib["d"])]
            corners = [(x + a, y + b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
            yield [_curve(corners[i : i + 4], t / 16) for i in range(0, len(corners) - 3, 3) for t in range(17)]
        return
    for child in element:
        yield from _lines(child, x, y)


def _curve(corners: list[tuple[float, float]], t: float) -> tuple[float, float]:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    xs, ys = (sum(w * corner[axis] for w, corner in zip(weights, corners, strict=True)) for axis in (0, 1))
    return xs, ys


def _on(x: float, y: float, label: Label) -> bool:
    return label.left + TOLERANCE < x < label.right - TOLERANCE and label.top + TOLERANCE < y < label.bottom - TOLERANCE


def _meet(a: Label, b: Label) -> bool:
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    return across > TOLERANCE and down > TOLERANCE


def _is_inside(label: Label) -> bool:
    if label.box is None:
        return True
    corners = [(x, y) for x in (label.left, label.right) for y in (label.top, label.bottom)]
    return all(label.box.holds(x, y) for x, y in corners)


def _inside(x: float, y: float, corners: tuple[tuple[float, float], ...]) -> bool:
    """Whether a ray from the point meets the outline an odd number of times."""
    inside = False
    for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
    return inside
