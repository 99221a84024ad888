"""The SVG file: what the layout engine wrote, signed, and with names set in bold.

Labels have one font for all their lines; a rule of style lifts the first line, which is the name. Text was escaped
by the engine; nothing here runs in a reader.
"""

from __future__ import annotations

import re

_STYLE = "<style>.node text:first-of-type, .cluster text:first-of-type { font-weight: bold }</style>"


def finished(svg: str, renderer: str, version: str) -> str:
    """The SVG with a comment that names the engine and its version, and with the style."""
    head = re.match(r"\s*<\?xml[^>]*\?>\s*", svg)
    place = head.end() if head else 0
    comment = f"<!-- laid out by {_comment(renderer)} {_comment(version)} -->\n"
    opened = re.search(r"<svg\b[^>]*>", svg)
    after = opened.end() if opened else len(svg)
    return f"{svg[:place]}{comment}{svg[place:after]}\n{_STYLE}{svg[after:]}"


def _comment(text: str) -> str:
    """Text that cannot end an XML comment."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w.+ -]", "", text))
