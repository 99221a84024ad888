"""The answer of a strategy as a picture: its figures, where the time goes, and each requirement with its verdict.

Turns a summary into an SVG document, the same bytes for the same input, made to be shown alone: it names model,
cluster, engine and workload. Its figures are the tiles of the report. A dark page turns the colours over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.export.svg_text import LINE, cut, headed, picture, text, width, words_wrapped
from dagc.export.text.context import MARKS, context
from dagc.export.tiles import Tile, passes, tiles, time_shares
from dagc.results.summary import CriticalPathRecord, PhaseRecord, RequirementRecord, Summary
from dagc.units import format_share

_WIDTH, _MARGIN, _GAP, _PAD = 960, 20, 12, 12
_INNER = _WIDTH - 2 * _MARGIN
_LEFT, _RIGHT, _BAR = 92, 250, 24
_ASKED = 320
"""Width that a requirement takes at most."""

_STATES = {True: "good", False: "bad", None: "muted"}


def answer_svg(summary: Summary) -> str:
    """The picture of one strategy."""
    lines = list[str]()
    title = f"{'' if summary.name == 'main' else f'{summary.name} = '}{summary.strategy}"
    y = headed(lines, _MARGIN, _MARGIN, _INNER, title, context(summary.facts, []))
    y = _cards(lines, y + 4, list(tiles(summary)))
    if summary.phases:
        y = _bars(lines, y, (("prefill", summary.phases.prefill), ("decode step", summary.phases.decode)))
    if summary.requirements:
        y = _verdicts(lines, y, summary.requirements)
    return picture(f"Answer of {summary.name}", _WIDTH, y + _MARGIN - _GAP, "", lines)


def _cards(lines: list[str], y: float, found: Sequence[Tile]) -> float:
    """A card a tile, side by side; returns where what follows begins."""
    wide = (_INNER - _GAP * (len(found) - 1)) / len(found)
    notes = [list(words_wrapped(tile.note, wide - 2 * _PAD, "small")) for tile in found]
    tall = 66 + 14 * max(map(len, notes)) + 10 * any(tile.share is not None for tile in found)
    for index, (tile, below) in enumerate(zip(found, notes, strict=True)):
        lines += _card(_MARGIN + index * (wide + _GAP), y, wide, tall, tile, below)
    return y + tall + 2 * _GAP


def _card(x: float, y: float, wide: float, tall: float, tile: Tile, below: Sequence[str]) -> Iterator[str]:
    place = f'x="{x:.1f}" y="{y:g}" width="{wide:.1f}"'
    yield f'<rect class="card" {place} height="{tall:g}" rx="6"/>'
    yield f'<rect class="{tile.state or "empty"}" {place} height="3" rx="1.5"/>'
    left, inner = round(x + _PAD, 1), wide - 2 * _PAD
    yield text(left, y + 22, "small muted", cut(tile.name, inner, "small"))
    yield text(left, y + 48, f"figure {tile.state}".rstrip(), tile.figure)
    if tile.unit:
        yield text(round(left + width(tile.figure, "figure") + 5, 1), y + 48, "text muted", tile.unit)
    base = y + 66
    if tile.share is not None:
        yield f'<rect class="empty" x="{left:g}" y="{y + 56:g}" width="{inner:.1f}" height="6" rx="3"/>'
        full = f'x="{left:g}" y="{y + 56:g}" width="{inner * min(tile.share, 1.0):.1f}" height="6" rx="3"'
        yield f'<rect class="{tile.state or "good"}" {full}/>'
        base += 10
    for index, line in enumerate(below):
        yield text(left, base + 14 * index, "small muted", line)


def _bars(lines: list[str], y: float, phases: Sequence[tuple[str, PhaseRecord]]) -> float:
    """Where the time of each phase goes: a bar of shares, and what the tones mean."""
    x, wide = _MARGIN + _LEFT, _INNER - _LEFT - _RIGHT
    lines.append(text(_MARGIN, y + 12, "head", "Where the time goes"))
    at = x + 60.0
    for name in ("compute", "memory", "communication", "bubble"):
        lines.append(f'<rect class="{name}" x="{at:.1f}" y="{y + 3:g}" width="10" height="10" rx="2"/>')
        lines.append(text(round(at + 15, 1), y + 12, "small muted", name))
        at += 33 + width(name, "small")
    y += 24
    for name, phase in phases:
        lines.append(text(_MARGIN, y + 16, "text", name))
        lines += _bar(x, y, wide, phase.critical_path)
        lines.append(text(x + wide + 12, y + 16, "small muted", cut(passes(name, phase), _RIGHT - 12, "small")))
        y += _BAR + 6
    return y + _GAP


def _bar(x: float, y: float, wide: float, path: CriticalPathRecord) -> Iterator[str]:
    for name, share in time_shares(path):
        long = share * wide
        yield f'<rect class="{name}" x="{x:.2f}" y="{y:g}" width="{long:.2f}" height="{_BAR}"/>'
        words = (f"{format_share(share)} {name}", format_share(share))
        fitting = next((word for word in words if width(word, "small") + 12 <= long), None)
        if fitting:
            yield text(round(x + 6, 1), y + 16, "small", fitting)
        x += long


def _verdicts(lines: list[str], y: float, rows: Sequence[RequirementRecord]) -> float:
    lines.append(text(_MARGIN, y + 12, "head", "Requirements"))
    y += 22
    asked = [cut(f"{row.name} {row.required}", _ASKED, "text") for row in rows]
    right = _MARGIN + 44 + max(width(one, "text") for one in asked)
    for row, one in zip(rows, asked, strict=True):
        lines.append(text(_MARGIN, y + 13, f"head {_STATES[row.ok]}", MARKS[row.ok]))
        lines.append(text(_MARGIN + 20, y + 13, "text", one))
        why = " · ".join(filter(None, (row.actual or "undetermined", row.reason)))
        lines.append(text(round(right, 1), y + 13, "text muted", cut(why, _WIDTH - _MARGIN - right, "text")))
        y += LINE + 4
    return y + _GAP
