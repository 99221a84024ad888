"""Lines of text in the pictures that are drawn here, measured by the width of a fixed-pitch font, and escaped."""

from __future__ import annotations

from html import escape

PITCH = {"title": 9.2, "text": 7.4, "small": 6.8}
"""Width of a character in pixels by class of text, a little more than a fixed-pitch font takes."""

FONTS = (
    'text{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre}'
    ".title{font-size:15px;font-weight:bold}.text{font-size:12px}.small{font-size:11px}"
)
"""The style of these classes."""


def text(x: float, y: float, kind: str, words: str, anchor: str = "") -> str:
    """An element of text; `anchor` is `end` or `middle` where x is not its start."""
    aligned = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{aligned}>{escape(words, quote=False)}</text>'


def cut(words: str, width: float, kind: str) -> str:
    """A text that fits, shortened where it does not."""
    fitting = int(width / PITCH[kind])
    return words if len(words) <= fitting else f"{words[: fitting - 1]}…"
