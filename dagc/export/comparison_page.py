"""A comparison as one page: the answers side by side, the table, the timelines on one scale, and the differences.

Turns a `Comparison`, summaries and timelines into HTML in the style of the report; it needs nothing from elsewhere and
runs nothing. A timeline has a row for each rank that represents others, its computation above its communication, in
the tones of operators that the report has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from dagc.export.page.answer import bottlenecks, cards, required
from dagc.export.page.fold import PhaseLanes, drawn_lanes, legend, phase_lanes
from dagc.export.page.markup import asset, document, scrolled, table, tag
from dagc.export.text.comparison import OK, change_text
from dagc.export.text.context import context
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced, tracks
from dagc.graph.priced import PICOSECONDS
from dagc.results.comparison import ComparedFigure, ComparedPlan, Comparison, Difference
from dagc.results.summary import Summary
from dagc.units import format_seconds

_HEADINGS = {"prefill": "Prefill", "decode": "Decode: single step"}
_NAMED = 3
"""Plans whose names are the title of the page; of more it has their number."""


@dataclass(frozen=True, slots=True)
class Column:
    """One plan: its summary, and its timelines where it was priced."""

    summary: Summary
    traced: Traced | None


@dataclass(frozen=True, slots=True)
class _Shown:
    """One phase of one plan, and how long it takes in picoseconds."""

    title: str
    lanes: PhaseLanes
    length: int


def page_bytes(comparison: Comparison, columns: Sequence[Column]) -> bytes:
    """The page, in UTF-8."""
    titles = [plan.title for plan in comparison.plans]
    title = " against ".join(titles) if len(titles) <= _NAMED else f"Comparison of {len(titles)} plans"
    shared = {context(column.summary.facts, [])[0] for column in columns}
    where = shared.pop() if len(shared) == 1 else None
    subject = tag("p", where, class_="subject") if where else None
    answers = zip(comparison.plans, columns, strict=True)
    main = tag(
        "main",
        tag("div", (_answer(plan, column.summary, where is None) for plan, column in answers), class_="columns"),
        _section("Figures", _table(comparison)),
        _timelines(comparison.plans, columns),
        _section("Differences", _differences(comparison)) if comparison.differences else None,
    )
    return document(title, tag("body", tag("header", tag("h1", title), subject), main), asset("page.css"), "")


def _section(title: str, *body: object) -> Markup:
    return tag("section", tag("h2", title), body)


def _answer(plan: ComparedPlan, summary: Summary, is_alone: bool) -> Markup:
    """One plan's answer as the report has it; where plans differ in their facts, these too."""
    facts = tag("p", context(summary.facts, [])[0], class_="subject") if is_alone else None
    return tag(
        "article",
        tag("h2", plan.title, " ", tag("code", plan.strategy)),
        facts,
        required(summary.requirements),
        cards(summary),
        bottlenecks(summary.phases) if summary.phases else None,
        class_="card",
    )


def _table(comparison: Comparison) -> Markup:
    heads = ("", *(plan.title for plan in comparison.plans))
    rows = (
        tag("tr", tag("th", figure.title, scope="row"), _cells(figure), data_figure=figure.name)
        for figure in comparison.figures
    )
    return scrolled("Figures", table(heads, rows))


def _cells(figure: ComparedFigure) -> Iterator[Markup]:
    for index, value in enumerate(figure.values):
        change = change_text(value) if index else ""
        cell = f"{value.text}{OK[value.ok]}" + (f" ({change})" if change else "")
        yield tag("td", cell, class_="best" if value.is_best else None)


def _timelines(plans: Sequence[ComparedPlan], columns: Sequence[Column]) -> Markup | None:
    """Prefill, then decode, of all plans on the scale of the longest; a KV-cache transfer is in the figures."""
    found: dict[str, list[_Shown]] = {}
    for plan, column in zip(plans, columns, strict=True):
        for phase, shown in _phases(plan.title, column.traced) if column.traced else ():
            found.setdefault(phase, []).append(shown)
    drawn = [
        tag("div", tag("h3", _HEADINGS[phase]), (_drawn(shown, max(one.lanes.span for one in each)) for shown in each))
        for phase, each in found.items()
    ]
    return _section("Timelines", legend(), drawn) if drawn else None


def _phases(title: str, traced: Traced) -> Iterator[tuple[str, _Shown]]:
    phases = zip(phase_names(traced.graph), traced.timelines, tracks(traced, None), strict=True)
    for name, timeline, shown in phases:
        if name in _HEADINGS and timeline.makespan:
            yield name, _Shown(title, phase_lanes(shown), timeline.makespan)


def _drawn(shown: _Shown, longest: int) -> Markup:
    title = f"{shown.title}: {format_seconds(shown.length / PICOSECONDS)} on the GPUs"
    return drawn_lanes(title, replace(shown.lanes, span=longest))


def _differences(comparison: Comparison) -> Markup:
    heads = ("", *(plan.title for plan in comparison.plans), "what that does")
    rows = (_difference(difference) for difference in comparison.differences)
    return scrolled("Differences", table(heads, rows, class_="differences"))


def _difference(one: Difference) -> Markup:
    values = (tag("td", value) for value in one.values)
    return tag("tr", tag("th", one.what, scope="row"), values, tag("td", one.why))
