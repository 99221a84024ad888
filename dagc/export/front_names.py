"""Names of points in a plot, where they cover neither a point nor another name; a number where a name has no room.

Each point has a number first, at the nearest free place. Then names take the place of numbers, in the given order,
wherever they fit: so a long name never costs another point its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import hypot

from dagc.export.svg_text import width

Label = tuple[float, float, float, float]
"""A place that is taken: left, top, right, bottom."""

BELOW = 3.0
"""From the baseline of a label to its lower edge."""

_RADIUS, _TALL = 7.0, 10.0
_FAR = (9.0, 20.0, 32.0, 46.0)


def labelled(
    points: Sequence[tuple[float, float, str, str]], order: Sequence[int], frame: Label, taken: Sequence[Label]
) -> list[tuple[Label, str] | None]:
    """For each point (x, y, number, name) the place and words of its label; None where there is no room.

    `frame` holds all labels, `taken` none.
    """
    marks = [(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y, _, _ in points]
    boxes: list[Label | None] = [None] * len(points)
    words = [number for _, _, number, _ in points]

    def free(index: int, label: str, far: Sequence[float]) -> Label | None:
        others = (*marks, *taken, *(box for other, box in enumerate(boxes) if box and other != index))
        x, y = points[index][:2]
        around = (box for away in far for box in _around(x, y, away, width(label, "small")))
        return next((box for box in around if _inside(box, frame) and not any(_meet(box, one) for one in others)), None)

    for index in order:
        boxes[index] = free(index, words[index], _FAR)
    for index in order:
        number, name = points[index][2:]
        if (box := free(index, f"{number} {name}", _FAR[:1])) is not None:
            boxes[index], words[index] = box, f"{number} {name}"
    return [(box, label) if box else None for box, label in zip(boxes, words, strict=True)]


def leader(x: float, y: float, box: Label) -> tuple[float, float] | None:
    """Where a line from a point meets its label; None where the label is beside it."""
    near = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
    return near if hypot(near[0] - x, near[1] - y) > _FAR[0] + 4 else None


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
