"""A summary, its diagnostics, its pictures and its timelines become `report.html`: one file, whole without a network.

The order of the parts is the order of a reader's questions: is it possible, how fast, why this size, what does it look
like, where does the time go, what is sent, what was said of it. A policy in the page forbids every request and every
script but its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import ParseError

from markupsafe import Markup

from dagc.diag.diagnostic import Diagnostic
from dagc.export.page.answer import answer, required
from dagc.export.page.listing import listing
from dagc.export.page.markup import asset, document, joined, table, tag, ticked, zoom_buttons
from dagc.export.page.work import communication, roofs, timeline
from dagc.export.text.context import context
from dagc.export.trace.tracks import Traced
from dagc.results.facts import assumed
from dagc.results.summary import AttentionDomain, ExpertDomain, FactsRecord, PoolRecord, Summary
from dagc.source import Source
from dagc.units import format_bytes, format_gpus, format_rate


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG document to show in a tab of its own. `name` is unique in a page, letters only."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a page is made of; `traced` is None where a strategy has no times, `load` where no request is simulated."""

    summary: Summary
    source: Source
    diagnostics: tuple[Diagnostic, ...]
    pictures: tuple[Picture, ...]
    traced: Traced | None
    load: Picture | None = None


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    title: str
    body: Markup


def report_page(reported: ReportContent) -> bytes:
    """The page, in UTF-8."""
    summary = reported.summary
    sections = [section for section in _sections(reported) if section.body]
    main = tag("main", (_drawn(section) for section in sections))
    body = tag("body", _header(summary, reported.diagnostics), _contents(sections), main)
    return document(f"{summary.name}: {summary.strategy}", body, asset("page.css"), asset("page.js"))


def _sections(reported: ReportContent) -> Iterator[_Section]:
    summary, traced = reported.summary, reported.traced
    yield _Section("answer", "Answer", answer(summary))
    yield _Section("plan", "Plan and diagnostics", listing(reported.source, reported.diagnostics))
    yield _Section("size", "Size", size(summary))
    yield _Section("views", "Views", _views(reported.pictures))
    yield _Section("load", "Load", _load(reported.load))
    if traced is not None:
        yield _Section("timeline", "Timeline", timeline(traced))
        yield _Section("operators", "Operators", roofs(traced))
        yield _Section("communication", "Communication", communication(traced))
    yield _Section("facts", "Assumptions", facts(summary))


def _drawn(section: _Section) -> Markup:
    heading = tag("h2", section.title, id=f"{section.name}-title")
    return tag("section", heading, section.body, id=section.name, aria_labelledby=f"{section.name}-title")


def _header(summary: Summary, diagnostics: Sequence[Diagnostic]) -> Markup:
    errors = sum(diagnostic.is_error for diagnostic in diagnostics)
    counts = ((errors, "error"), (len(diagnostics) - errors, "warning"))
    badges = (
        tag("a", f"{count} {word}{'s' * (count != 1)}", href="#plan", class_=f"badge {word}")
        for count, word in counts
        if count
    )
    subject = tag("p", f"{format_gpus(summary.gpus)} · ", context(summary.facts, [])[0], " ", badges, class_="subject")
    name = tag("h1", tag("span", summary.name, class_="name"), " ", tag("code", summary.strategy))
    return tag("header", name, subject, required(summary.requirements))


def _contents(sections: Sequence[_Section]) -> Markup:
    links = (tag("a", section.title, href=f"#{section.name}") for section in sections)
    return tag("nav", links, aria_label="Sections")


def _views(pictures: Sequence[Picture]) -> Markup:
    if not pictures:
        return Markup("")
    tabs = (
        tag(
            "button",
            picture.title,
            type="button",
            role="tab",
            id=f"tab-{picture.name}",
            aria_controls=f"panel-{picture.name}",
        )
        for picture in pictures
    )
    style = asset("picture.css")
    panels = (
        tag("div", _toolbar(one), _canvas(one, style),
            role="tabpanel", id=f"panel-{one.name}", aria_labelledby=f"tab-{one.name}", class_="panel")
        for one in pictures
    )  # fmt: skip
    return joined((tag("div", tabs, role="tablist", class_="tabs", aria_label="Views"), panels))


def _load(one: Picture | None) -> Markup:
    return tag("div", _toolbar(one), _canvas(one, asset("picture.css")), class_="panel") if one else Markup("")


def _canvas(one: Picture, style: str) -> Markup:
    """The picture; one without tones of its own for a dark page has its tones turned over there."""
    try:
        drawing = inlined(one.svg, style)
    except ParseError as error:
        return tag("p", f"This picture is left out, because it is not valid XML: {error}.", class_="hint")
    turned = "" if "prefers-color-scheme" in one.svg else " turned"
    return tag("div", drawing, class_=f"canvas{turned}", tabindex="0")


def _toolbar(one: Picture) -> Markup:
    buttons = zoom_buttons("data_zoom", "in", "out", "width", "all")
    search = tag("input", type="search", placeholder="Search", aria_label=f"Search in {one.title}", class_="search")
    found = tag("output", class_="found", aria_live="polite")
    return tag("div", buttons, search, found, class_="toolbar")


_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_DROPPED = {f"{{{_SVG}}}{name}" for name in ("script", "foreignObject", "animate", "set", "image", "use")}
_HREFS = ("href", f"{{{_XLINK}}}href")
_VIEW = re.compile(r"([a-z]+)\.svg")
"""A link to a picture beside this one; the page's script leads to its tab."""

_TITLE, _TOOLTIP = f"{{{_SVG}}}title", f"{{{_XLINK}}}title"

_NAMES_OF_ENGINE = {"graph", "node", "edge", "cluster"}
"""Classes of groups that Graphviz titles with its own names for them, which say nothing to a reader.

It does so where it gives what a reader wants to know as the title of a link; a picture that was worked over has none.
"""


def inlined(svg: str, style: str) -> Markup:
    """A template that the reader's browser makes a shadow root of the element around it, with ids, classes and `style`
    of its own.

    What could run or load something is dropped: the pictures have none, but a layout engine is another program.
    Raises `ElementTree.ParseError` for what is no XML.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    elements = list(root.iter())
    is_raw = any(_TOOLTIP in element.attrib for element in elements)
    for element in elements:
        _clean(element, is_raw)
    drawing = Markup(ElementTree.tostring(root, encoding="unicode"))
    return tag("template", tag("style", Markup(style)), drawing, shadowrootmode="open")


def _clean(element: ElementTree.Element, is_raw: bool) -> None:
    for child in [child for child in element if child.tag in _DROPPED or (is_raw and _is_name(element, child))]:
        element.remove(child)
    for key in [key for key in element.attrib if key.lower().startswith("on") or key in _HREFS]:
        value = element.attrib.pop(key)
        if key in _HREFS and (view := _VIEW.fullmatch(value)):
            element.set("data-view", view[1])
    tooltip = element.attrib.pop(_TOOLTIP, None)
    if tooltip is not None:
        title = ElementTree.Element(_TITLE)
        title.text = tooltip
        element.insert(0, title)


def _is_name(group: ElementTree.Element, child: ElementTree.Element) -> bool:
    return child.tag == _TITLE and group.get("class") in _NAMES_OF_ENGINE


_ATTENTION, _EXPERTS = ("tp", "cp", "dp"), ("tp", "ep", "dp")


def size(summary: Summary) -> Markup:
    """The derivation and a table of the pools."""
    steps = (tag("li", ticked(line)) for line in summary.derivation)
    naive = (
        tag("p", f"Not {summary.naive_product:,}, the product of all degrees.", class_="hint")
        if summary.naive_product != summary.gpus
        else None
    )
    heads = ("pool", "GPUs", "ranks per stage", "attention", "experts")
    pools = tag("div", table(heads, map(_pool, summary.pools)), class_="wide")
    return joined((tag("ol", steps, class_="derivation"), naive, pools))


def facts(summary: Summary) -> Markup:
    """Model, cluster, workload and engine with their sources."""
    rows = (
        tag("tr", tag("th", name, scope="row"), tag("td", facts_text)) for name, facts_text in _facts(summary.facts)
    )
    return tag("table", rows, class_="facts")


def _pool(pool: PoolRecord) -> Markup:
    domains = pool.domains
    cells = (
        f"{pool.gpus:,}",
        f"{pool.width:,} × {pool.stages:,} stage{'s' * (pool.stages != 1)}",
        _factors(domains.attention, _ATTENTION),
        _factors(domains.experts, _EXPERTS),
    )
    return tag("tr", tag("th", pool.name, scope="row"), (tag("td", cell) for cell in cells))


def _factors(domain: AttentionDomain | ExpertDomain | None, axes: Sequence[str]) -> str:
    if domain is None:
        return "–"
    shown = [(axis, getattr(domain, axis), domain.implied.get(axis, 1)) for axis in axes if getattr(domain, axis) > 1]
    return " × ".join(f"{axis} {degree}{_implied(degree, given)}" for axis, degree, given in shown) or "whole"


def _implied(degree: int, implied: int) -> str:
    return "" if implied == 1 else " (implied)" if implied == degree else f" ({implied} of it implied)"


def _facts(facts: FactsRecord) -> Iterator[tuple[str, str]]:
    model, cluster, workload = facts.model, facts.cluster, facts.workload
    experts = f", {model['experts']} experts, top {model['top']}" if model["experts"] else ""
    layers = f"{model['layers']} layers" if model["layers"] else "layers not stated"
    yield "model", f"{model['name']}: {layers}{experts}; {model['source']}"
    device = cluster["device"]
    yield "cluster", f"{_cluster(cluster)}; {device['source']}"
    yield "workload", _workload(workload)
    if facts.engine:
        yield "engine", f"{facts.engine['name']} {facts.engine['version']}"
    defaults = assumed(facts)
    if defaults:
        yield "defaults", defaults


def _cluster(cluster: dict[str, Any]) -> str:
    device = cluster["device"]
    parts = [f"{device['name']} of {format_bytes(device['memory_bytes'])}", f"{cluster['gpus_per_node']} per node"]
    if cluster["gpus"]:
        parts.insert(0, f"{cluster['gpus']:,} GPU{'s' * (cluster['gpus'] != 1)}")
    rates = ((device["bandwidth_bytes_per_second"], "memory"), (cluster["link_bytes_per_second"], "link"),
             (cluster["network_bytes_per_second"], "network"))  # fmt: skip
    parts += [f"{what} {format_rate(rate, 'bytes/s')}" for rate, what in rates if rate]
    return f"{cluster['name']}: {', '.join(parts)}"


def _workload(workload: dict[str, Any]) -> str:
    concurrency = workload["concurrency"]
    many = f"{concurrency} requests in flight" if concurrency else f"{workload['batch']} sequences"
    many = "open loop" if "open_loop" in workload else many
    routing = workload["routing"] + (f" {workload['zipf_exponent']:g}" if workload["zipf_exponent"] else "")
    return f"{many}, {workload['prompt']:,} tokens in and {workload['output']:,} out, {routing} routing"
