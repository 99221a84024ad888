"""Where the time goes and what is sent: timeline, rooflines, operators and communication, a part for each phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log

from markupsafe import Markup

from dagc.catalog.device import DeviceSpec
from dagc.export.operators import Operator, operators
from dagc.export.page.fold import css, phase_lanes
from dagc.export.page.lanes import drawn_lanes, legend
from dagc.export.page.markup import joined, scrolled, table, tag, zoom_buttons
from dagc.export.page.roofline import drawn_roofline
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced, tracks
from dagc.export.traffic import Traffic, traffic
from dagc.graph.priced import PICOSECONDS
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline
from dagc.units import format_bytes, format_count, format_rate, format_seconds, format_share

_TITLES = {"prefill": "Prefill of the batch", "handover": "KV-cache transfer", "decode": "One decode step"}
_HEADS = ("operator", "time", "share", "executions", "FLOP", "bytes", "FLOP/byte", "rate", "bound", "source")


def timeline(traced: Traced) -> Markup:
    """A picture for each phase, with one rank of each kind that behaves alike."""
    hint = tag("p", "One rank per group of equivalent ranks: computation above, communication below. ",
               "Drag to move, buttons or + and − to zoom; the trace holds every operator.", class_="hint")  # fmt: skip
    phases = zip(_phases(traced), tracks(traced, None), strict=True)
    drawn = (_zoomable(drawn_lanes(_headed(title, one), phase_lanes(shown))) for (title, one), shown in phases)
    return joined((hint, legend(), drawn))


def roofs(traced: Traced) -> Markup:
    """A roofline and a table for each phase that computes."""
    devices = {pool.name: traced.plan.device_of(pool) for s in traced.plan.deployment.services for pool in s.pools}
    plots, tables = Markup(""), Markup("")
    for title, one in _phases(traced):
        found = operators(one)
        plots += drawn_roofline(title, found, _devices(one, devices)) or Markup("")
        tables += _table(title, found)
    search = tag("input", type="search", placeholder="Filter operators", aria_label="Filter operators", class_="filter")
    key = (
        "Time of the slowest rank over all stages, layers and micro-batches; the area of a disc is its share of that "
        "time; a hollow one is latency-bound. Lines are datasheet peaks."
    )
    hint = tag("p", key, class_="hint")
    return joined((hint, tag("div", plots, class_="pair"), tag("div", search, class_="toolbar"), tables))


def communication(traced: Traced) -> Markup:
    """A matrix for each phase."""
    per_node = traced.plan.facts.cluster.gpus_per_node
    hint = tag("p", "Bytes from ranks (rows) to ranks (columns) by the definition of each collective, "
               "independent of its algorithm.", class_="hint")  # fmt: skip
    drawn = [
        drawn_matrix(_replicated(title, one), traffic(one.priced.graph, per_node)) for title, one in _phases(traced)
    ]
    return joined((hint, drawn)) if any(drawn) else Markup("")


def _phases(traced: Traced) -> Iterator[tuple[str, Timeline]]:
    for name, one in zip(phase_names(traced.graph), traced.timelines, strict=True):
        yield _title(name, traced.plan), one


def _title(name: str, plan: Plan) -> str:
    """Where requests come and go, no batch is prefilled at once."""
    if name == "prefill" and plan.facts.workload.concurrency is not None:
        return "Prefill of one prompt on each dp rank of attention"
    return _TITLES[name]


def _replicated(title: str, one: Timeline) -> str:
    alike = len(one.priced.graph.replicas)
    return f"{title}, one of {alike} replicas" if alike > 1 else title


def _headed(title: str, one: Timeline) -> str:
    """A phase of several stages begins with an idle pipeline; the host's time is not drawn."""
    is_pipeline = one.priced.graph.phase is Phase.DECODE and len(one.priced.graph.programs[0]) > 1
    begins = ", single step" if is_pipeline else ""
    return f"{title}{begins}: {format_seconds(one.makespan / PICOSECONDS)} on the GPUs"


def _zoomable(figure: Markup) -> Markup:
    bar = tag("div", zoom_buttons("data_time", "in", "out", "all"), class_="toolbar")
    return tag("div", bar, figure, class_="timeline", tabindex="0")


def _devices(one: Timeline, devices: dict[str, DeviceSpec]) -> list[DeviceSpec]:
    """The devices that a phase runs on, each once."""
    pools = (devices[team.pool] for team in one.priced.graph.teams if team.pool in devices)
    return list({device.name: device for device in pools}.values())


def _table(title: str, found: Sequence[Operator]) -> Markup:
    whole = sum(one.seconds for one in found) or 1.0
    sources = list(dict.fromkeys(one.source for one in found))
    rows = (_row(one, whole, sources.index(one.source) + 1) for one in found)
    region = scrolled(f"Operators, {title}", table(_HEADS, rows, class_="operators"))
    listed = tag("ol", (tag("li", source) for source in sources), class_="sources", aria_label="Sources")
    heading = tag("summary", f"{title}: {len(found)} operators")
    return tag("details", heading, region, listed, open=title == _TITLES["decode"])


def _row(one: Operator, whole: float, source: int) -> Markup:
    pattern = f"{one.pattern.value.replace('_', ' ')} of {one.group}" if one.pattern and one.group > 1 else None
    swatch = tag("span", class_=f"swatch {css(one.kind)}", title=one.kind.value)
    name = tag("th", swatch, one.key, tag("small", pattern), scope="row", title=one.title)
    rate = (
        format_rate(one.flops_per_second, "flop/s")
        if one.flops
        else (format_rate(one.bytes / one.seconds, "bytes/s") if one.bytes and one.seconds else "–")
    )
    numbers = (
        format_seconds(one.seconds), format_share(one.seconds / whole), f"{one.executions:,}",
        format_count(one.flops) if one.flops else "–", format_bytes(one.bytes) if one.bytes else "–",
        format_count(one.intensity) if one.intensity else "–", rate,
    )  # fmt: skip
    return tag(
        "tr", name, (tag("td", cell) for cell in numbers), tag("td", one.bound), tag("td", source, title=one.source)
    )


_SHADES = 8


def drawn_matrix(title: str, found: Traffic) -> Markup | None:
    """Who sends how much to whom in a phase, blocks of ranks against each other; None where nothing is sent.

    Cells are shaded by the logarithm of their bytes, and have them as text.
    """
    if not found.total:
        return None
    names = [(str(first) if first == last else f"{first}–{last}") for first, last in found.ranks]
    rows = (tag("tr", tag("th", name, scope="row"), _cells(found, i, names)) for i, name in enumerate(names))
    amount = (
        f"{format_bytes(found.total)} between ranks, {format_share(found.between_nodes / found.total)} between nodes"
    )
    of_ranks = f"; blocks of {found.block} ranks" if found.block > 1 else ""
    caption = tag("figcaption", tag("h3", title), tag("p", amount + of_ranks, class_="hint"))
    return tag("figure", caption, scrolled(title, table(("", *names), rows, class_="matrix")))


def _cells(found: Traffic, row: int, names: list[str]) -> Markup:
    whole = Markup("")
    for column, name in enumerate(names):
        sent = float(found.sent[row, column])
        title = f"{names[row]} to {name}: {format_bytes(sent)}" if sent > 0.5 else None
        words = format_bytes(sent) if title else None
        number, _, unit = (words or "").partition(" ")
        whole += tag("td", number, tag("small", unit) if unit else None, class_=_shade(found, sent), title=title)
    return whole


def _shade(found: Traffic, sent: float) -> str | None:
    """A shade a factor of 2, the darkest for the most."""
    if sent <= 0.5:
        return None
    return f"s{max(1, _SHADES - int(log(float(found.sent.max()) / sent, 2)))}"
