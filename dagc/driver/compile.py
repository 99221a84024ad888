"""A checked strategy becomes its summary and the contents of its files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.outcome import Checked

if TYPE_CHECKING:
    from dagc.driver.compare import Compared
    from dagc.export.page.page import Picture
    from dagc.export.requested import Request
    from dagc.export.trace.tracks import Traced
    from dagc.export.views.strategy import StrategyView
    from dagc.export.views.view import Distance
    from dagc.results.summary import Summary


_VIEWS = {
    "deployment.svg": "Deployment",
    "stage.svg": "Stages",
    "graph.svg": "Layers",
    "rank.svg": "Ranks",
    "memory.svg": "Memory",
}
"""Pictures that the page shows, by file, and what they are called there."""

_PASSAGE_SECONDS = 3e-6
"""What all files of a strategy take for each passage through layers, on a core of 2024."""

_ANNOUNCED_SECONDS = 3.0

_MOST_PASSAGES = 3_200_000
"""Passages above which the files of timelines are not made: they take over 10 s, and nobody reads them."""

Contents = dict[str, bytes | Iterable[bytes]]
"""Files by name, whole or as streams of bytes."""


@dataclass(frozen=True, slots=True)
class Product:
    """The files of one strategy, what could not be made of it, and what is to be said before they are written."""

    summary: Summary
    files: Contents
    diagnostics: tuple[Diagnostic, ...]
    notes: tuple[str, ...] = ()


def export(
    checked: Checked, renderer: str | None = None, request: Request | None = None, views: Collection[str] = ()
) -> Product:
    """The contents of every file that a strategy can have; without shapes that is its summary alone,
    without rates, or where the others would take too long, the pictures of its memory and answer beside it.

    A requested trace or graph takes the place of the default one, where it is not refused. `views` names the pictures
    to draw; all of them where it is empty.
    """
    from dagc.export.views.view import Distance

    summary, summary_files = _summary(checked)
    traced, refused = traced_of(checked), _too_large(checked)
    if traced is None or refused:
        return Product(summary, {**summary_files, **_page(checked, summary, summary_files, None)}, refused)
    drawn = frozenset(distance for distance in Distance if not views or distance.value in views)
    pictures, problems = _pictures(_strategy_view(checked, traced, summary, drawn), drawn, renderer)
    data, not_made, notes = _data(traced, request)
    page = _page(checked, summary, {**pictures, **summary_files}, traced)
    return Product(summary, {**pictures, **data, **summary_files, **page}, (*problems, *not_made), notes)


def outlook(checked: Checked) -> str | None:
    """How long the files of a strategy will take to make, where that is worth saying before."""
    passages = _passages(checked)
    seconds = _PASSAGE_SECONDS * passages
    if seconds < _ANNOUNCED_SECONDS or passages > _MOST_PASSAGES:
        return None
    return f"the files of `{checked.plan.name}` will take about {seconds:.0f} s: {passages:,} passages through layers"


def _passages(checked: Checked) -> int:
    """Passages of a micro-batch through a stretch of equal layers of a stage, on all timelines."""
    timelines = checked.priced.timelines or ()
    return sum(len(recording.table) for timeline in timelines for _, recording in timeline.recordings)


def _too_large(checked: Checked) -> tuple[Diagnostic, ...]:
    """Why graph, trace and pictures of a strategy are not made."""
    passages = _passages(checked)
    if passages <= _MOST_PASSAGES:
        return ()
    from dagc.memory_limit import FILES_TOO_LARGE

    plan = checked.plan
    return (
        FILES_TOO_LARGE.at(
            plan.deployment.strategy.body.outer,
            f"graph, trace and pictures of `{plan.name}` are not made: {passages:,} passages through layers",
            f"at most {_MOST_PASSAGES:,} are drawn",
            notes=("`summary.json`, the pictures of memory and answer, and a report of these need none of them",),
            help=("use fewer micro-batches, as `[micro 64]`, or fewer stages",),
        ),
    )


def report(checked: Checked) -> bytes:
    """The page of a strategy alone."""
    from dagc.export.views.view import Distance

    summary, drawn = _summary(checked)
    traced = None if _too_large(checked) else traced_of(checked)
    if traced is not None:
        every = frozenset(Distance)
        drawn = {**_pictures(_strategy_view(checked, traced, summary, every), every, None)[0], **drawn}
    return _page(checked, summary, drawn, traced)["report.html"]


def picture(checked: Checked, view: str = "layer") -> str | tuple[Diagnostic, ...]:
    """A view as it is beside the others; without times, or where it cannot be drawn, why not.

    Raises ValueError for a view that there is not.
    """
    from dagc.export.views.view import Distance

    distance = Distance(view)
    traced = traced_of(checked)
    if traced is None:
        return ()
    strategy = _strategy_view(checked, traced, summary_of(checked), frozenset(Distance))
    files, problems = _pictures(strategy, frozenset({distance}), None)
    drawn = files.get(f"{distance.stem}.svg")
    return drawn.decode() if isinstance(drawn, bytes) else problems


def summary_of(checked: Checked) -> Summary:
    """The summary of a strategy, with what would still fit: the one that text, files, page and Python API show."""
    from dagc.cost.limits import memory_limits
    from dagc.results.assemble import summarize

    assessment = checked.priced.assessment
    limits = memory_limits(checked.plan) if assessment.memory else None
    return summarize(checked.plan, assessment, checked.diagnostics, limits)


def _summary(checked: Checked) -> tuple[Summary, Contents]:
    """The summary, its file, and where memory is known the pictures of the answer and of memory."""
    from dagc.export.answer_svg import answer_svg
    from dagc.export.memory_svg import Panel, memory_svg
    from dagc.export.records import json_bytes
    from dagc.export.text.context import chunked, context

    summary = summary_of(checked)
    files: Contents = {"summary.json": json_bytes(summary)}
    if summary.memory:
        lines = context(summary.facts, summary.requirements)
        lines += chunked(summary.facts, checked.priced.assessment.memory)
        panel = Panel(summary.name, summary.memory, lines)
        files |= {"memory.svg": memory_svg([panel]).encode(), "answer.svg": answer_svg(summary).encode()}
    return summary, files


def traced_of(checked: Checked) -> Traced | None:
    """The graph and the timelines of a strategy; None where it has no times."""
    from dagc.export.trace.tracks import Traced

    priced = checked.priced
    if priced.graph is None or priced.timelines is None:
        return None
    held = priced.assessment.memory.pools if priced.assessment.memory else ()
    return Traced(checked.plan, priced.graph, priced.timelines, priced.others, held)


def _page(checked: Checked, summary: Summary, drawn: Contents, traced: Traced | None) -> dict[str, bytes]:
    """The page, with the pictures that are already drawn in it."""
    from dagc.export.page.page import Picture, ReportContent, report_page

    pictures = tuple(
        Picture(name.removesuffix(".svg"), _VIEWS[name], content.decode())
        for name, content in drawn.items()
        if name in _VIEWS and isinstance(content, bytes)
    )
    source = checked.plan.deployment.strategy.span.source
    content = ReportContent(summary, source, checked.diagnostics, pictures, traced, _load_picture(checked))
    return {"report.html": report_page(content)}


def _load_picture(checked: Checked) -> Picture | None:
    """Times of simulated requests, and queue, batch and cache over time; None where none were simulated."""
    load, plan = checked.priced.load, checked.plan
    if load is None:
        return None
    from dagc.export.load.distributions import SimulatedStrategy
    from dagc.export.load.pictures import simulation_svg
    from dagc.export.load.plot import load_limits
    from dagc.export.page.page import Picture

    limits = load_limits(plan.facts.requirements)
    shown = SimulatedStrategy(plan.name, load.record.arrivals, load.run, limits)
    return Picture("load", "Requests under load", simulation_svg([shown]))


def _strategy_view(checked: Checked, traced: Traced, summary: Summary, drawn: frozenset[Distance]) -> StrategyView:
    """What the views show; `drawn` are those that links lead to."""
    from dagc.export.text.context import context
    from dagc.export.views.strategy import StrategyView

    priced = checked.priced
    held = priced.assessment.memory
    lines = context(summary.facts, summary.requirements, has_model=False)
    return StrategyView(traced.plan, traced.graph, traced.timelines, priced.metrics, held, lines, drawn)


def _pictures(
    strategy: StrategyView, wanted: Collection[Distance], renderer: str | None
) -> tuple[Contents, tuple[Diagnostic, ...]]:
    """Each wanted view as DOT text and as a picture; what a renderer lacks is reported once."""
    from dagc.export.renderers import render
    from dagc.export.views.dot import to_dot
    from dagc.export.views.draw import view_of
    from dagc.export.views.svg import finished
    from dagc.export.views.view import Distance

    files: Contents = {}
    problems: dict[str, Diagnostic] = {}
    for distance in (one for one in Distance if one in wanted):
        view = view_of(strategy, distance)
        dot = to_dot(view)
        files[f"{distance.stem}.dot"] = dot.encode()
        drawing, found = render(dot, renderer)
        problems |= {problem.message: problem for problem in found}
        if drawing is not None:
            files[f"{distance.stem}.svg"] = finished(drawing, view)
    return files, tuple(problems.values())


def _data(traced: Traced, request: Request | None) -> tuple[Contents, tuple[Diagnostic, ...], tuple[str, ...]]:
    """The graph and the trace, the requested ones or the default, what is refused, and what is to be said of sizes."""
    from dagc.export.graph_json import graph_bytes
    from dagc.export.requested import Request, requested_files, sizes
    from dagc.export.trace.trace_json import trace_json

    files: Contents = {}
    refused: tuple[Diagnostic, ...] = ()
    if request is not None:
        requested, refused = requested_files(traced, request)
        files |= requested
    made = request if request and not refused else Request()
    shown = (traced.plan, traced.graph, traced.timelines)
    if "graph.json" not in files:
        files["graph.json"] = graph_bytes(*shown)
    if not any(name.startswith("trace.") for name in files):
        files["trace.json"] = trace_json(traced, None, Request().shown(traced))
    return files, refused, sizes(traced, made)


def comparison_page(compared: Compared) -> bytes:
    """A page that shows a comparison, with the timelines of the plans on one scale."""
    from dagc.export.comparison_page import Column, page_bytes

    columns = [Column(summary_of(checked), traced_of(checked)) for checked in compared.checked]
    return page_bytes(compared.comparison, columns)
