"""Names of points in a plot, where they cover neither a point nor another name; a number where a name has no room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, hypot

from dagc.export.svg_text import width

Label = tuple[float, float, float, float]
"""A place that is taken: left, top, right, bottom."""

BELOW = 3.0
"""From the baseline of a label to its lower edge."""

RINGS = (0.0, 11.0, 23.0, 37.0)
"""How far from its point a label may be, beside the nearest place; farther ones get a line to their point."""

_RADIUS, _CLEAR, _TALL = 7.0, 4.0, 10.0
_STEP = 6.0


def labelled(
    points: Sequence[tuple[float, float, str, str]], order: Sequence[int], frame: Label, taken: Sequence[Label]
) -> list[tuple[Label, str] | None]:
    """For each point (x, y, number, name) the place and words of its label; None where there is no room.

    `frame` holds all labels, `taken` none. Each point has a number first, at the nearest free place. Then names take
    the place of numbers, in the given order, wherever they fit: so a long name never costs another point its number.
    """
    marks = [around_point(x, y, _RADIUS) for x, y, _, _ in points]
    boxes: list[Label | None] = [None] * len(points)
    words = [number for _, _, number, _ in points]

    def free(index: int, label: str, rings: Sequence[float]) -> Label | None:
        others = (*marks, *taken, *(box for other, box in enumerate(boxes) if box and other != index))
        return room(*points[index][:2], _RADIUS, label, frame, others, rings)

    for index in order:
        boxes[index] = free(index, words[index], RINGS)
    for index in order:
        number, name = points[index][2:]
        if (box := free(index, f"{number} {name}", RINGS[:1])) is not None:
            boxes[index], words[index] = box, f"{number} {name}"
    return [(box, label) if box else None for box, label in zip(boxes, words, strict=True)]


def room(
    x: float,
    y: float,
    radius: float,
    words: str,
    frame: Label,
    taken: Iterable[Label],
    rings: Sequence[float] = RINGS,
    uncrossed: Sequence[Label] = (),
) -> Label | None:
    """The nearest place of a label beside a point, in the frame and outside of what is taken; None where there is
    none. Its line, where it needs one, crosses nothing that is `uncrossed`.
    """
    others, wide = list(taken), width(words, "small")
    for box in (box for ring in rings for box in _around(x, y, radius + _CLEAR + ring, wide)):
        if not _inside(box, frame) or any(_meet(box, other) for other in others):
            continue
        if not any(_meet(part, one) for part in led(x, y, radius, box) for one in uncrossed):
            return box
    return None


def led(x: float, y: float, radius: float, box: Label) -> list[Label]:
    """The places of the line from a point to its label; none where it needs none."""
    end = leader(x, y, radius, box)
    return list(along(x, y, *end, 1.0)) if end else []


def leader(x: float, y: float, radius: float, box: Label) -> tuple[float, float] | None:
    """Where a line from a point ends at its label; None where the label is beside it."""
    near = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
    return near if hypot(near[0] - x, near[1] - y) > radius + _CLEAR + 4 else None


def around_point(x: float, y: float, radius: float) -> Label:
    """The place of a point."""
    return x - radius, y - radius, x + radius, y + radius


def along(x1: float, y1: float, x2: float, y2: float, radius: float = 2.0) -> Iterator[Label]:
    """The places of a line: squares close to each other."""
    steps = max(1, ceil(hypot(x2 - x1, y2 - y1) / _STEP))
    for number in range(steps + 1):
        share = number / steps
        yield around_point(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share, radius)


def _around(x: float, y: float, away: float, wide: float) -> Iterator[Label]:
    """Boxes of a label so far from its point: right, left, above, below, and at the corners."""
    right, left = x + away, x - away - wide
    above, below, middle = y - away, y + away + _TALL, y + _TALL / 2 - 1
    corners = ((right, above + 6), (left, above + 6), (right, below - 6), (left, below - 6))
    for start, base in ((right, middle), (left, middle), (x - wide / 2, above), (x - wide / 2, below), *corners):
        yield start, base - _TALL, start + wide, base + BELOW


def _inside(box: Label, frame: Label) -> bool:
    return frame[0] <= box[0] and frame[1] <= box[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _meet(one: Label, other: Label) -> bool:
    """Whether two boxes overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
