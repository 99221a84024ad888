"""How things look in the picture: shapes, tones, fonts, and text made safe for Graphviz.

Shapes tell kinds apart without colour; the critical path is told by colour and by thick lines, so that it is seen in
black and white.
"""

from __future__ import annotations

import re
from html import escape as escape_html

from dagc.export.canvas import escape
from dagc.graph.ops import Category
from dagc.plan.deployment import Role

FONT = "Helvetica"
CRITICAL = "#B3261E"
LINE = "#5F6B7A"
TEXT = "#1B1F24"
MUTED = "#5F6B7A"

SHAPES = {
    Category.COMPUTE: {"shape": "box"},
    Category.COMMUNICATION: {"shape": "ellipse", "margin": "0.06,0.02"},
    Category.ROUTING: {"shape": "parallelogram", "margin": "0.02,0"},
}
"""Shape by category; those with slanted sides have room enough without a margin."""

TONES = {Category.COMPUTE: "#DCE8F6", Category.COMMUNICATION: "#FBE3C5", Category.ROUTING: "#DDEFD9"}
POOL_TONES = {Role.ALL: "#F7F8FA", Role.ATTENTION: "#EEF3FB", Role.EXPERTS: "#FDF3E3"}

GRAPH = {
    "rankdir": "TB",
    "newrank": "true",
    "compound": "true",
    "fontname": FONT,
    "fontsize": "16",
    "fontcolor": TEXT,
    "nodesep": "0.22",
    "ranksep": "0.34",
    "pad": "0.25",
    "labelloc": "t",
    "labeljust": "l",
    "bgcolor": "white",
}
NODE = {
    "fontname": FONT,
    "fontsize": "10",
    "fontcolor": TEXT,
    "color": LINE,
    "style": "filled",
    "fillcolor": "white",
    "margin": "0.22,0.05",
    "height": "0.3",
}
EDGE = {"fontname": FONT, "fontsize": "9", "fontcolor": MUTED, "color": LINE, "arrowsize": "0.6"}

EDGES = {
    "data": {},
    "choice": {"style": "dashed"},
    "transfer": {"color": "#9A5B00", "style": "bold"},
    "order": {"style": "dotted", "arrowhead": "open", "color": "#9AA4B0"},
    "sequence": {"color": LINE, "arrowsize": "0.8"},
}
"""Attributes of an edge by its kind."""

CRITICAL_NODE = {"color": CRITICAL, "penwidth": "2.6"}
CRITICAL_EDGE = {"color": CRITICAL, "penwidth": "2.6"}


def plain(text: str) -> str:
    """Text as a label or tooltip that is shown as it is: no escape sequence, entity or markup has a meaning."""
    return escape(escape_html(one_way(printable(text)), quote=False).replace("\n", " "))


def lines(*texts: str, end: str = "\\n") -> str:
    """A label of several lines; `end` is the escape that centres a line or aligns it to the left."""
    return "".join(plain(text) + end for text in texts if text)


def named(name: str) -> str:
    """A first line, with room at both sides for being set in bold."""
    room = "\N{NO-BREAK SPACE}" * (len(name) // 8 + 1)
    return f"{room}{name}{room}"


def heading(*texts: str) -> str:
    """A label of a cluster, left-aligned, with room at the end.

    The box is as wide as the widest line in the engine's own font; a reader's machine may have a wider one.
    """
    padded = (text + "\N{NO-BREAK SPACE}" * (len(text) // 5 + 2) for text in texts if text)
    return lines(*padded, end="\\l")


def one_way(text: str) -> str:
    r"""Text whose invisible marks of direction are shown as escapes (`\u202e`): they would reorder what follows."""
    return re.sub("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", lambda mark: f"\\u{ord(mark[0]):04x}", text)


def printable(text: str) -> str:
    """Control characters, lone surrogates and non-characters, which XML cannot hold, become U+FFFD."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)
