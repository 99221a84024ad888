"""A plan as a notebook shows it: a line and a picture for each strategy, and the diagnostics.

Turns summaries, pictures and text into HTML. A picture is an image of its own, so that its style and ids reach nothing
else in the notebook.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

from dagc.export.page.markup import joined, tag
from dagc.report.summary import Summary
from dagc.report.text import headline


def shown(strategies: Iterable[tuple[Summary, str | None]], diagnostics: str) -> str:
    """The HTML; a strategy without a picture has its line alone."""
    parts = ((_line(summary), _image(summary, svg) if svg else None) for summary, svg in strategies)
    lines = joined(tag("div", line, style="white-space: pre-wrap; min-height: 1em") for line in diagnostics.split("\n"))
    told = tag("details", tag("summary", "diagnostics"), tag("code", lines)) if diagnostics else None
    return str(joined((parts, told)))


def _line(summary: Summary) -> object:
    return tag("p", tag("b", summary.name), ": ", tag("code", summary.strategy), " · ", headline(summary))


def _image(summary: Summary, svg: str) -> object:
    source = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    return tag("img", src=source, alt=f"Graph of {summary.name}", style="max-width: 100%")
