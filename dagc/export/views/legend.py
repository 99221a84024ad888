"""What the signs of a picture mean: the entries that its boxes and arrows need, and no others.

Turns a view into samples, in lines of bounded width. Each has words for the sign, for where it cannot be drawn. In the
deployment view arrows and folded cards have labels of their own, so that its legend is one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from dagc.export.typesetting import width
from dagc.export.views.look import LOAD_STEPS, TEXT_POINTS
from dagc.export.views.view import ArrowKind, Bar, BoxShape, Distance, Gpus, LoadTile, Sign, View
from dagc.graph.priced import Bound

SAMPLE_POINTS = 34.0
"""Width of a sample with the gap behind it."""

GAP_POINTS = 14.0
"""Between one entry and the next."""

_MOST_POINTS = 900.0


@dataclass(frozen=True, slots=True)
class LegendSample:
    """One sign: `sign` is a shape, a line, a bound, what GPUs do, or one of `critical`, `slowest`, `folded`, `fused`,
    `idle`.
    """

    sign: BoxShape | ArrowKind | Bound | str
    meaning: str
    words: str

    @property
    def points(self) -> float:
        """Width of the drawn entry."""
        return SAMPLE_POINTS + width(self.meaning, TEXT_POINTS) + GAP_POINTS


GPU_WORDS = "■ a GPU of the card"
"""For GPUs of all kinds, which colour alone distinguishes."""

_SHAPES = (
    LegendSample(BoxShape.COMPUTE, "computation", "box"),
    LegendSample(BoxShape.COMMUNICATION, "communication", "ellipse"),
    LegendSample(BoxShape.ROUTING, "routing, aggregation", "parallelogram"),
)
_BOUNDS = (
    LegendSample(Bound.COMPUTE, "compute-bound", "blue or █"),
    LegendSample(Bound.MEMORY, "memory-bound", "green or ▓"),
    LegendSample(Bound.NETWORK, "network-bound", "orange or ▒"),
    LegendSample(Bound.LATENCY, "latency-bound", "violet or ░"),
)
_STEPS = (*(f"{100 * step:.0f}" for step in LOAD_STEPS), "100")
_LOADS = (
    LegendSample("load0", f"load below {_STEPS[0]} %", "tone 1 of 5"),
    *(
        LegendSample(f"load{index + 1}", f"{low}–{high} %", f"tone {index + 2} of 5")
        for index, (low, high) in enumerate(pairwise(_STEPS))
    ),
)
"""Time of a GPU over that of the slowest one."""

_LINES = (
    LegendSample(ArrowKind.DATA, "data", "thin line"),
    LegendSample(ArrowKind.CHOICE, "expert selection", "dashed line"),
    LegendSample(ArrowKind.ORDER, "order only", "dotted line"),
    LegendSample(ArrowKind.MESSAGE, "message", "brown line"),
    LegendSample(ArrowKind.SEQUENCE, "sequence", "grey line"),
)


def legend(view: View) -> tuple[tuple[LegendSample, ...], ...]:
    """Entries by line."""
    boxes, arrows = tuple(view.boxes()), view.arrows
    words = [word for box in boxes for line in (box.lines, *(column.cells for column in box.columns)) for word in line]
    signs = [word for word in words if isinstance(word, Sign)]
    shapes = {one.shape for one in (*boxes, *signs)}
    bars = [word for word in words if isinstance(word, Bar)]
    bounds = {bound for bar in bars for bound, share in bar.parts if share > 0}
    kinds = dict.fromkeys(word.kind for word in words if isinstance(word, Gpus))
    found = [LegendSample(kind, kind, GPU_WORDS) for kind in kinds]
    found += [one for one in _SHAPES if one.sign in shapes]
    found += [one for one in _BOUNDS if one.sign in bounds]
    if any(isinstance(word, LoadTile) for word in words):
        found += _LOADS
    if any(sum(share for _, share in bar.parts) < 0.995 and bar.whole for bar in bars):
        found.append(LegendSample("idle", "idle or free", "empty bar"))
    if any(one.critical for one in (*boxes, *signs)):
        found.append(LegendSample("critical", "critical path", "thick red"))
    if any(member.slowest for member in (*boxes, *view.clusters())):
        found.append(LegendSample("slowest", "slowest stage", "thick red"))
    if any(sign.fused for sign in signs):
        found.append(LegendSample("fused", "fused into another", "dotted frame"))
    if view.distance is not Distance.DEPLOYMENT:
        found += (
            [LegendSample("folded", "folded: identical parts", "double frame")] if any(b.folded for b in boxes) else []
        )
        drawn = {arrow.line for arrow in (*arrows, *(flow for box in boxes for flow in box.flows))}
        found += [one for one in _LINES if one.sign in drawn]
    return (tuple(found),) if view.distance is Distance.DEPLOYMENT and found else tuple(_lines(found))


def words(samples: tuple[LegendSample, ...]) -> str:
    """A line of the legend without drawings."""
    gpus = [sample.meaning for sample in samples if sample.words == GPU_WORDS]
    drawn = [f"{sample.words}: {sample.meaning}" for sample in samples if sample.words != GPU_WORDS]
    return "   ".join([f"{GPU_WORDS}: {', '.join(gpus)}", *drawn] if gpus else drawn)


def _lines(samples: list[LegendSample]) -> list[tuple[LegendSample, ...]]:
    lines: list[list[LegendSample]] = [[]]
    for sample in samples:
        if lines[-1] and sum(one.points for one in lines[-1]) + sample.points > _MOST_POINTS:
            lines.append([])
        lines[-1].append(sample)
    return [tuple(line) for line in lines if line]
