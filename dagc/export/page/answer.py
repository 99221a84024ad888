"""The answer first: does it fit, how fast is it, what bounds it, are requirements and claims met.

Turns a summary into tiles, bars and tables; it computes nothing that is not in the summary.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dagc.export.page.markup import joined, tag, ticked
from dagc.export.text.memory import holding_most
from dagc.export.text.summary import BASES, handover_text, serving_lines
from dagc.export.tiles import Tile, capacity_facts, passes, tiles, time_shares
from dagc.results.summary import ClaimRecord, CriticalPathRecord, Memory, Phases, RequirementRecord, Serving, Summary
from dagc.units import format_share

_MARKS = {True: ("✓", "met"), False: ("✗", "missed"), None: ("?", "open")}


def answer(summary: Summary) -> Markup:
    """Tiles, what bounds each phase, requirements and claims, and what is not known."""
    return joined(
        (
            cards(summary),
            _room(summary.memory) if summary.memory else None,
            _bounds(summary),
            _serving(summary.serving) if summary.serving else None,
            _verdicts("Requirements", "required", summary.requirements),
            _verdicts("Claims", "claimed", summary.claims),
            _undetermined(summary),
        )
    )


def cards(summary: Summary) -> Markup:
    """The tiles of a summary."""
    return tag("div", map(_tile, tiles(summary)), class_="tiles")


def required(requirements: Sequence[RequirementRecord]) -> Markup | None:
    """Requirements in one line, each with its verdict."""
    marked = ((row, *_MARKS[row.ok]) for row in requirements)
    items = (
        tag("li", tag("span", mark, role="img", aria_label=state), f" {row.name} {row.required}", class_=state)
        for row, mark, state in marked
    )
    return tag("ul", items, class_="required", aria_label="Requirements") if requirements else None


def _tile(tile: Tile) -> Markup:
    figure = tag("p", tile.figure, tag("small", f" {tile.unit}") if tile.unit else None, class_="figure")
    meter = None
    if tile.share is not None:
        meter = tag("svg", _meter(tile.share), class_="meter", viewBox="0 0 100 6", preserveAspectRatio="none")
    note = tag("p", tile.note, class_="tile-note")
    return tag("div", tag("h3", tile.name), figure, meter, note, class_=f"tile {tile.state}".rstrip())


def _room(memory: Memory) -> Markup | None:
    """The GPU that holds most, where it is not the fullest, and what would still fit."""
    most = holding_most(memory)
    facts = [*([most] if most else []), *capacity_facts(memory)]
    return tag("p", f"Memory: {', '.join(facts)}.", class_="hint") if facts else None


def _serving(serving: Serving) -> Markup | None:
    lines = serving_lines(serving)
    return joined((tag("h3", "Serving"), tag("ul", (tag("li", line) for line in lines)))) if lines else None


def _meter(share: float) -> Markup:
    filled = tag("rect", width=min(share, 1.0) * 100, height=6, class_="full" if share <= 1 else "over")
    return joined((tag("rect", width=100, height=6, class_="empty"), filled))


def bottlenecks(phases: Phases) -> Markup:
    """A bar for each phase of what takes its time, and what the tones mean."""
    rows = (
        tag("tr", tag("th", name, scope="row"), tag("td", _bar(phase.critical_path)), tag("td", passes(name, phase)))
        for name, phase in (("prefill", phases.prefill), ("decode step", phases.decode))
    )
    names = ("compute", "memory", "communication", "bubble")
    key = tag("ul", (tag("li", tag("span", class_=f"swatch {name}"), name) for name in names), class_="legend")
    return joined((tag("table", rows, class_="bounds"), key))


def _bounds(summary: Summary) -> Markup | None:
    if summary.phases is None:
        return None
    handover, one = summary.phases.handover_seconds, summary.phases.transfer_seconds
    moved = None
    if handover is not None:
        moved = tag("p", f"KV-cache transfer: {handover_text(handover, one)}.", class_="hint")
    return joined((tag("h3", "Bottlenecks"), bottlenecks(summary.phases), moved))


_NAMED, _NUMBERED = 0.22, 0.09
"""Shares of a bar from which a part has room for its name, and for its number. On a narrow page it has less."""


def _bar(path: CriticalPathRecord) -> Markup:
    """A bar of shares; a part that is too narrow for its words has the tone and the title."""
    parts = (
        tag("span", format_share(share), tag("span", f" {name}", class_="word"), class_=f"part {name}{_room_of(share)}",
            style=f"flex:{share:.4f} 1 0", title=f"{format_share(share)} {name}")
        for name, share in time_shares(path)
    )  # fmt: skip
    return tag("div", parts, class_="shares")


def _room_of(share: float) -> str:
    return "" if share >= _NAMED else " brief" if share >= _NUMBERED else " slim"


def _verdicts(title: str, column: str, rows: list[RequirementRecord] | list[ClaimRecord]) -> Markup | None:
    if not rows:
        return None
    head = tag("tr", (tag("th", name, scope="col") for name in ("", title.lower()[:-1], column, "actual", "why")))
    return joined(
        (tag("h3", title), tag("table", tag("thead", head), tag("tbody", map(_verdict, rows)), class_="verdicts"))
    )


def _verdict(row: RequirementRecord | ClaimRecord) -> Markup:
    mark, state = _MARKS[row.ok]
    target = row.required if isinstance(row, RequirementRecord) else row.claimed
    basis = "" if isinstance(row, RequirementRecord) else BASES.get(row.basis, "")
    actual = row.actual or ("undetermined" if row.ok is None else "–")
    if isinstance(row, RequirementRecord) and row.verdict and row.verdict.endswith("within error"):
        actual = f"{actual}, {row.verdict}"
    return tag(
        "tr",
        tag("td", tag("span", mark, role="img", aria_label=state), class_=f"mark {state}"),
        tag("th", row.name, scope="row"),
        (tag("td", ticked(text)) for text in (target, actual, basis + row.reason)),
    )


def _undetermined(summary: Summary) -> Markup | None:
    causes: dict[tuple[str, ...], list[str]] = {}
    for row in summary.undetermined:
        causes.setdefault(tuple(row.missing), []).append(row.what)
    items = (tag("li", f"{', '.join(what)}: not stated: {', '.join(missing)}") for missing, what in causes.items())
    return joined((tag("h3", "Undetermined"), tag("ul", items))) if causes else None
