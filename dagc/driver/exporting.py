"""A checked strategy becomes its summary and the contents of its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.outcome import Checked

if TYPE_CHECKING:
    from dagc.driver.comparing import Compared
    from dagc.export.requested import Request
    from dagc.export.tracks import Traced
    from dagc.report.summary import Summary


_VIEWS = {"graph.svg": "Graph", "memory.svg": "Memory"}
"""Pictures that the page shows, by file, and what they are called there."""

Contents = dict[str, bytes | Iterable[bytes]]
"""Files by name, whole or as streams of bytes."""


@dataclass(frozen=True, slots=True)
class Product:
    """The files of one strategy, and what could not be made of it."""

    summary: Summary
    files: Contents
    diagnostics: tuple[Diagnostic, ...]


def export(checked: Checked, renderer: str | None = None, request: Request | None = None) -> Product:
    """The contents of every file that a strategy can have; without shapes that is its summary alone,
    without rates the picture of its memory beside it.

    A requested trace or graph takes the place of the default one, where it is not refused.
    """
    summary, summary_files = _summary(checked)
    traced = _traced(checked)
    if traced is None:
        return Product(summary, {**summary_files, **_page(checked, summary, summary_files, None)}, ())
    pictures, problems = _pictures(traced, renderer)
    data, refused = _data(traced, request)
    page = _page(checked, summary, {**pictures, **summary_files}, traced)
    return Product(summary, {**pictures, **data, **summary_files, **page}, (*problems, *refused))


def report(checked: Checked) -> bytes:
    """The page of a strategy alone."""
    summary, drawn = _summary(checked)
    traced = _traced(checked)
    if traced is not None:
        drawn = {**_pictures(traced, None)[0], **drawn}
    return _page(checked, summary, drawn, traced)["report.html"]


def picture(checked: Checked) -> str | tuple[Diagnostic, ...]:
    """The picture of a strategy alone; without times, or where it cannot be drawn, why not."""
    traced = _traced(checked)
    if traced is None:
        return ()
    files, problems = _pictures(traced, None)
    drawn = files.get("graph.svg")
    return drawn.decode() if isinstance(drawn, bytes) else problems


def _summary(checked: Checked) -> tuple[Summary, Contents]:
    """The summary, its file, and where memory is known its picture."""
    from dagc.cost.limits import memory_limits
    from dagc.export.memory_svg import memory_svg
    from dagc.export.summary_json import to_json_bytes
    from dagc.report.assemble import summarize

    assessment = checked.priced.assessment
    limits = memory_limits(checked.plan) if assessment.memory else None
    summary = summarize(checked.plan, assessment, checked.diagnostics, limits)
    files: Contents = {"summary.json": to_json_bytes(summary)}
    if summary.memory:
        files["memory.svg"] = memory_svg([(summary.name, summary.memory)]).encode()
    return summary, files


def _traced(checked: Checked) -> Traced | None:
    from dagc.export.tracks import Traced

    priced = checked.priced
    if priced.graph is None or priced.timelines is None:
        return None
    return Traced(checked.plan, priced.graph, priced.timelines, priced.others)


def _page(checked: Checked, summary: Summary, drawn: Contents, traced: Traced | None) -> dict[str, bytes]:
    """The page, with the pictures that are already drawn in it."""
    from dagc.export.page.page import Picture, Reported, report_page

    pictures = tuple(
        Picture(name.removesuffix(".svg"), _VIEWS[name], content.decode())
        for name, content in drawn.items()
        if name in _VIEWS and isinstance(content, bytes)
    )
    source = checked.plan.deployment.strategy.span.source
    return {"report.html": report_page(Reported(summary, source, checked.diagnostics, pictures, traced))}


def _pictures(traced: Traced, renderer: str | None) -> tuple[Contents, tuple[Diagnostic, ...]]:
    from dagc.export.dot import to_dot
    from dagc.export.renderers import render

    dot = to_dot(traced.plan, traced.graph, traced.timelines)
    drawing, problems = render(dot, renderer)
    files: Contents = {"graph.dot": dot.encode()}
    if drawing is not None:
        files["graph.svg"] = drawing.encode()
    return files, problems


def _data(traced: Traced, request: Request | None) -> tuple[Contents, tuple[Diagnostic, ...]]:
    """The graph and the trace, the requested ones or the default."""
    from dagc.export.chrome_trace import trace_bytes
    from dagc.export.graph_json import graph_bytes

    files: Contents = {}
    refused: tuple[Diagnostic, ...] = ()
    if request is not None:
        from dagc.export.requested import requested_files

        requested, refused = requested_files(traced, request)
        files |= requested
    shown = (traced.plan, traced.graph, traced.timelines)
    if "graph.json" not in files:
        files["graph.json"] = graph_bytes(*shown)
    if not any(name.startswith("trace.") for name in files):
        files["trace.json"] = trace_bytes(*shown)
    return files, refused


def comparison_page(compared: Compared) -> bytes:
    """A page that shows a comparison, with the timelines of the plans on one scale."""
    from dagc.export.comparison_page import Column, page_bytes

    timelines = [checked.priced.timelines or () for checked in compared.checked]
    titles = [plan.title for plan in compared.comparison.plans]
    columns = [Column(title, shown) for title, shown in zip(titles, timelines, strict=True)]
    return page_bytes(compared.comparison, columns)
