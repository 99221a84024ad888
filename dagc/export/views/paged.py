"""A picture of tables arranged on a page: frames on shelves of bounded width, tables of a frame side by side.

Layout engines give a table the size that its texts need, and know of no page. Here tables and frames are moved, frames
are drawn around what is in them, and arrows between neighbours are drawn again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from dagc.export.typesetting import width
from dagc.export.views import look
from dagc.export.views.marks_svg import SVG, polygon
from dagc.export.views.view import Arrow, Box, Cluster, View

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MARGIN, _GAP, _WIDE_GAP = 12.0, 14.0, 34.0
"""Points inside a frame, between frames, and where an arrow is between two things."""

_COLUMN = 0.42
"""Share of a page for each service where there are several."""

_TIMES = (1.0, 1.15, 1.3, 1.6, 2.0, 2.5)
"""Widths that are tried, over that of a page."""

_SHEET = (785.0, 538.0)
"""A4 in landscape inside its margins, in points."""

_HEAD = 170.0
"""Height that the head of a picture takes, about."""

_ROUND = 10.0


@dataclass(frozen=True, slots=True)
class _Spot:
    """Left, top and size of a thing."""

    x: float
    y: float
    wide: float
    tall: float


def arrange(root: Element, top: Element, view: View) -> None:
    """Place everything below the head of the picture. `top` holds the drawing; positions are in points."""
    bottom = _Page(top, view).place()
    moved = re.search(r"translate\((\S+) (\S+?)\)", top.get("transform", ""))
    box = [float(number) for number in NUMBER.findall(root.get("viewBox", ""))]
    tall = bottom + (float(moved[2]) if moved else 0.0) + _GAP
    root.set("viewBox", f"{box[0]:g} {box[1]:g} {box[2]:.2f} {tall:.2f}")


class _Page:
    """The groups of a drawing by name, with what they are moved to."""

    def __init__(self, top: Element, view: View) -> None:
        self._top = top
        self._view = view
        self._groups = {group.get("id", ""): group for group in top if group.get("class") in ("node", "cluster")}
        self._spots: dict[str, _Spot] = {}
        self._limit = max(self._limits(), key=self._scale)
        for edge in [group for group in top if group.get("class") == "edge"]:
            top.remove(edge)

    def _limits(self) -> list[float]:
        """Widths that a service may have."""
        share = 1.0 if len(self._view.members) == 1 else _COLUMN
        return [share * self._view.page * times for times in _TIMES]

    def _scale(self, limit: float) -> float:
        """How large the picture can be printed in landscape with services of this width; of equals the first wins."""
        self._limit = limit
        sizes = [self._size(member) for member in self._view.members]
        wide = sum(wide for wide, _ in sizes) + _WIDE_GAP * (len(sizes) - 1)
        return min(_SHEET[0] / wide, _SHEET[1] / (_HEAD + max(tall for _, tall in sizes)))

    def place(self) -> float:
        """Top-level frames beside each other, from the height of the highest on; arrows last. Where it ends below."""
        known = [_spot(self._groups[member.name]) for member in self._view.members]
        x, y = min(spot.x for spot in known), min(spot.y for spot in known)
        for member in self._view.members:
            x += self._put(member, x, y)[0] + _WIDE_GAP
        for arrow in self._view.arrows:
            self._arrow(arrow)
        return max(spot.y + spot.tall for spot in self._spots.values())

    def _put(self, member: Box | Cluster, x: float, y: float) -> tuple[float, float]:
        """Move a thing and all in it; its size."""
        group = self._groups[member.name]
        old = _spot(group)
        _shift(group, x - old.x, y - old.y)
        if isinstance(member, Box):
            self._spots[member.name] = _Spot(x, y, old.wide, old.tall)
            return old.wide, old.tall
        said, head = self._head(member)
        wide, bottom = said, y + head
        for inner, left, top in self._shelves(member):
            across, tall = self._put(inner, x + _MARGIN + left, y + head + top)
            wide, bottom = max(wide, left + across), max(bottom, y + head + top + tall)
        spot = _Spot(x, y, wide + 2 * _MARGIN, bottom - y + _MARGIN)
        self._spots[member.name] = spot
        for path in group.iter(f"{SVG}path"):
            path.set("d", _rounded(spot))
        return spot.wide, spot.tall

    def _head(self, cluster: Cluster) -> tuple[float, float]:
        """Width and height of the words of a frame."""
        texts = list(self._groups[cluster.name].iter(f"{SVG}text"))
        if not texts:
            return 0.0, _MARGIN
        top = _spot(self._groups[cluster.name]).y
        points = max(float(text.get("font-size", "11")) for text in texts)
        long = max(width((text.text or "").strip(), points, bold=index == 0) for index, text in enumerate(texts))
        return long, max(float(text.get("y", "0")) for text in texts) - top + _MARGIN

    def _size(self, member: Box | Cluster) -> tuple[float, float]:
        """Size that a thing will have."""
        if isinstance(member, Box):
            spot = _spot(self._groups[member.name])
            return spot.wide, spot.tall
        wide, tall = self._head(member)
        bottom = tall
        for inner, left, top in self._shelves(member):
            across, down = self._size(inner)
            wide, bottom = max(wide, left + across), max(bottom, tall + top + down)
        return wide + 2 * _MARGIN, bottom + _MARGIN

    def _shelves(self, cluster: Cluster) -> list[tuple[Box | Cluster, float, float]]:
        """Where the members of a frame are, from its left and from below its words.

        A member is below the one before it where the shelf is high enough for both, else beside it, else on the
        next shelf.
        """
        found: list[tuple[Box | Cluster, float, float]] = []
        left = right = shelf = filled = height = 0.0
        for member in cluster.members:
            wide, tall = self._size(member)
            gap = _WIDE_GAP if isinstance(member, Box) else _GAP
            if found and isinstance(member, Cluster) and filled + gap + tall <= height and left > 0:
                filled += gap + tall
            elif not found or right + gap + wide <= self._limit:
                left = right + gap if found else 0.0
                filled = tall
            else:
                left, right, shelf, height, filled = 0.0, 0.0, shelf + height + gap, 0.0, tall
            found.append((member, left, shelf + filled - tall))
            right, height = max(right, left + wide), max(height, filled)
        return found

    def _arrow(self, arrow: Arrow) -> None:
        """From a frame or table to the one beside it, or down to the one below."""
        tone = look.CRITICAL if arrow.critical else look.LINES[arrow.line].get("color", look.MUTED)
        tail, head = self._spots[arrow.leaves or arrow.tail], self._spots[arrow.enters or arrow.head]
        group = SubElement(self._top, f"{SVG}g", {"class": "edge"})
        if head.x < tail.x + tail.wide:
            x, y, end = tail.x + _LEFT, tail.y + tail.tall, head.y
            line, tip = f"M{x:.2f},{y:.2f} L{x:.2f},{end - 8:.2f}", ((x, end), (x - 4, end - 9), (x + 4, end - 9))
        else:
            x, y, end = tail.x + tail.wide, tail.y + _DOWN, head.x
            line, tip = f"M{x:.2f},{y:.2f} L{end - 8:.2f},{y:.2f}", ((end, y), (end - 9, y - 4), (end - 9, y + 4))
        SubElement(group, f"{SVG}path", {"d": line, "stroke": tone, "stroke-width": "2", "fill": "none"})
        polygon(group, tip, {"fill": tone})


_LEFT, _DOWN = 60.0, 30.0
"""Where an arrow leaves a thing, from its left or from its top."""


def _spot(group: Element) -> _Spot:
    """Where the outline of a node or frame is."""
    outline = next(one for one in group.iter() if one.tag in (f"{SVG}polygon", f"{SVG}path"))
    numbers = [float(n) for n in NUMBER.findall(outline.get("points") or outline.get("d", ""))]
    xs, ys = numbers[::2], numbers[1::2]
    return _Spot(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _shift(group: Element, right: float, down: float) -> None:
    """Move all that a group draws."""
    for one in group.iter():
        for name in ("points", "d"):
            if name in one.attrib:
                one.set(name, _moved(one.attrib[name], right, down))
        for name, by in (("x", right), ("y", down)):
            if name in one.attrib:
                one.set(name, f"{float(one.attrib[name]) + by:.2f}")


def _moved(points: str, right: float, down: float) -> str:
    """Pairs of numbers, each moved."""
    steps = (right, down)
    place = iter(range(len(points)))
    return NUMBER.sub(lambda number: f"{float(number[0]) + steps[next(place) % 2]:.2f}", points)


def _rounded(spot: _Spot) -> str:
    """The outline of a frame, as pairs of numbers."""
    left, top, right, bottom, r = spot.x, spot.y, spot.x + spot.wide, spot.y + spot.tall, _ROUND
    return (
        f"M{left + r:.2f},{top:.2f} L{right - r:.2f},{top:.2f} Q{right:.2f},{top:.2f} {right:.2f},{top + r:.2f} "
        f"L{right:.2f},{bottom - r:.2f} Q{right:.2f},{bottom:.2f} {right - r:.2f},{bottom:.2f} "
        f"L{left + r:.2f},{bottom:.2f} Q{left:.2f},{bottom:.2f} {left:.2f},{bottom - r:.2f} "
        f"L{left:.2f},{top + r:.2f} Q{left:.2f},{top:.2f} {left + r:.2f},{top:.2f}Z"
    )
