"""Results as a notebook shows them: the answer of the report and the deployment, or a picture and a table.

Turns summaries, pictures and rows into HTML. A picture is an image of its own, so that its style and ids reach nothing
else in the notebook; the style of the page is kept inside the answer by nesting. Names and texts are escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from dagc.export.page.answer import answer
from dagc.export.page.markup import asset, joined, table, tag
from dagc.export.text.context import context
from dagc.metrics import COMPARED, FRONT_TABLE
from dagc.results.summary import Summary
from dagc.units import format_bytes, format_share

Cell = str | float | bool | None

MOST_ROWS = 50
"""Rows of a table that are shown; `rows` and a DataFrame have all."""

_METRICS = {one.name: one for one in COMPARED}
_SHOWN = frozenset(one.name for one in FRONT_TABLE)

_LONG = 40
"""Characters from which a cell goes over several lines."""


def answers(strategies: Iterable[tuple[Summary, str | None]], diagnostics: str) -> str:
    """Strategies, each its answer and then its picture where it has one, and the diagnostics."""
    parts = ((_answer(summary), _image(f"Deployment of {summary.name}", svg)) for summary, svg in strategies)
    return _framed(parts, _diagnostics(diagnostics))


def result(headline: str, svg: str | None, rows: Sequence[Mapping[str, Cell]], diagnostics: str) -> str:
    """A result: its headline, picture, table and diagnostics."""
    return _framed(tag("p", tag("b", headline)), _image(headline, svg), _table(rows), _diagnostics(diagnostics))


def _framed(*children: object) -> str:
    """The parts in the style of the page. Its class is named twice, so that the notebook's own rules do not win."""
    nested = asset("page.css").replace(":root", "&")
    own = "color: var(--ink); background: var(--paper); font: 14px/1.5 Helvetica, sans-serif; padding: .6rem .8rem;"
    style = tag("style", Markup(f".dagc.dagc {{\n{own}\n{nested}\n}}\n"))
    return str(tag("div", style, children, class_="dagc"))


def _answer(summary: Summary) -> Markup:
    head = tag("p", tag("b", summary.name), ": ", tag("code", summary.strategy))
    facts = tag("p", context(summary.facts, [])[0], class_="subject")
    return joined((head, facts, answer(summary)))


def _image(alt: str, svg: str | None) -> Markup | None:
    if svg is None:
        return None
    source = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    return tag("img", src=source, alt=alt, style="max-width: 100%")


def _table(rows: Sequence[Mapping[str, Cell]]) -> Markup | None:
    """Columns that have a value, figures as few as in what `dagc search` prints; rows that are left out are counted."""
    named = [name for name in (rows[0] if rows else ()) if name in _SHOWN or name not in _METRICS]
    columns = [name for name in named if any(row[name] not in (None, "") for row in rows)]
    if not columns:
        return None
    body = (tag("tr", (_cell(_text(name, row)) for name in columns)) for row in rows[:MOST_ROWS])
    more = len(rows) - MOST_ROWS
    left = tag("p", f"{more:,} more rows in `rows`", class_="hint") if more > 0 else None
    return joined((tag("div", table(map(_title, columns), body), class_="wide"), left))


def _title(column: str) -> str:
    return _METRICS[column].title if column in _METRICS else column.removesuffix("_bytes").replace("_", " ")


def _cell(content: str) -> Markup:
    return tag("td", content, style=None if len(content) > _LONG else "white-space: nowrap")


def _text(column: str, row: Mapping[str, Cell]) -> str:
    """A value for a person, in the unit of its column, or of the figure that its row names."""
    value = row[column]
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    kind = _METRICS.get(str(row.get("figure")) if column in ("before", "after") else column)
    if kind is not None:
        return kind.text(value)
    if column.endswith("_bytes"):
        return format_bytes(value)
    return format_share(value) if column in ("share", "difference") else f"{value:,}"


def _diagnostics(diagnostics: str) -> Markup | None:
    lines = joined(tag("div", line, style="white-space: pre-wrap; min-height: 1em") for line in diagnostics.split("\n"))
    return tag("details", tag("summary", "Diagnostics"), tag("code", lines)) if diagnostics else None
