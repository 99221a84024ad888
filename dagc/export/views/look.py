"""How things look in the pictures: shapes, tones and lines, in light and in dark.

Shapes show what a thing is, tones what bounds it; words, line widths and patterns say the same without colour. The
tones of a dark page are a table from light to dark, which the SVG carries as a rule of style.
"""

from __future__ import annotations

from dagc.export.views.view import ArrowKind, BoxShape
from dagc.graph.priced import Bound
from dagc.plan.deployment import Role

FONT = "Helvetica"
TEXT_POINTS = 10.0
PAPER = "#ffffff"
INK = "#1b1f24"
MUTED = "#57606a"
FRAME = "#7d8794"
CRITICAL = "#b3261e"
LINK = "#0b57d0"
IDLE = "#e9ecf0"
_MESSAGE = "#8a5200"

BOUNDS = {
    Bound.COMPUTE: "#cfe0f5",
    Bound.MEMORY: "#d5ecd2",
    Bound.NETWORK: "#fbdcb4",
    Bound.LATENCY: "#e6dcf0",
    Bound.NONE: "#f3f4f6",
}
BARS = {
    Bound.COMPUTE: "#3f7cc4",
    Bound.MEMORY: "#5fae58",
    Bound.NETWORK: "#e0922f",
    Bound.LATENCY: "#8f6bb8",
    Bound.NONE: "#6b7480",
}
"""Tones of the parts of a bar, stronger than those of a box."""

LOADS = ("#e6f4f3", "#c3e5e2", "#97d0cb", "#66b9b2", "#3aa39c")
"""Tones of a GPU by its load, from the lowest to the highest; `LOAD_STEPS` are the shares at which each but the first
begins."""
LOAD_STEPS = (0.5, 0.7, 0.85, 0.95)

GPUS = {
    "attention + experts": "#2f6f9f", "attention + FFN": "#2f6f9f", "prefill": "#a8447c", "decode": "#1f8a7a",
    "attention": "#4a5fc1", "prefill attention": "#4a5fc1", "decode attention": "#8493e6",
    "experts": "#b8641c", "prefill experts": "#b8641c", "decode experts": "#e09a5a",
}  # fmt: skip
"""Tones of GPUs by what they do, on a light and on a dark page."""

POOLS = {Role.ALL: "#f7f8fa", Role.ATTENTION: "#eef3fb", Role.EXPERTS: "#fdf4e6"}

DARK = {
    PAPER: "#15181c", INK: "#e6e9ed", MUTED: "#a9b2bd", FRAME: "#76808c", CRITICAL: "#ff7a70", LINK: "#8ab4f8",
    IDLE: "#3a414a", _MESSAGE: "#e0a458",
    "#cfe0f5": "#24405f", "#d5ecd2": "#27472a", "#fbdcb4": "#5a3f17", "#e6dcf0": "#44345a", "#f3f4f6": "#2a2f36",
    "#e6f4f3": "#132a29", "#c3e5e2": "#17403e", "#97d0cb": "#1c5653", "#66b9b2": "#226d69", "#3aa39c": "#267b76",
    "#f7f8fa": "#1c2026", "#eef3fb": "#1b2430", "#fdf4e6": "#2b241a",
}  # fmt: skip
"""Every tone that a dark page turns over; bars stay as they are."""

GRAPH = {
    "newrank": "true", "compound": "true", "fontname": FONT, "fontsize": "13", "fontcolor": INK, "nodesep": "0.28",
    "pad": "0.2", "labelloc": "t", "labeljust": "l", "bgcolor": PAPER,
}  # fmt: skip
NODE = {
    "fontname": FONT, "fontsize": f"{TEXT_POINTS:g}", "fontcolor": INK, "color": FRAME, "style": "filled",
    "fillcolor": PAPER, "margin": "0.16,0.06", "height": "0.3",
}  # fmt: skip
EDGE = {
    "fontname": FONT, "fontsize": "9", "fontcolor": INK, "color": MUTED, "arrowsize": "0.8", "penwidth": "1.3",
}  # fmt: skip

SHAPES: dict[BoxShape, dict[str, str]] = {
    BoxShape.CARD: {"shape": "box", "style": "filled,rounded"},
    BoxShape.CHIP: {
        "shape": "box",
        "style": "filled,rounded",
        "fontsize": "8.5",
        "margin": "0.07,0.02",
        "height": "0.2",
    },
    BoxShape.TABLE: {"shape": "record", "margin": "0.08,0.03"},
}
LINES: dict[ArrowKind, dict[str, str]] = {
    ArrowKind.DATA: {},
    ArrowKind.CHOICE: {"style": "dashed"},
    ArrowKind.MESSAGE: {"color": _MESSAGE, "penwidth": "2.4", "arrowsize": "1"},
    ArrowKind.ORDER: {"style": "dotted", "arrowhead": "open"},
    ArrowKind.SEQUENCE: {"penwidth": "1.8", "arrowsize": "0.9", "weight": "100"},
}
CRITICAL_BOX = {"color": CRITICAL, "penwidth": "2.6"}
CRITICAL_LINE = {"color": CRITICAL, "penwidth": "2.6"}


def load_tone(share: float) -> str:
    """The tone of a load, a share of the highest."""
    return LOADS[sum(share >= step for step in LOAD_STEPS)]
