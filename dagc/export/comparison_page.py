"""A comparison as one page: the table, and the timelines of the plans one over the other, on one scale.

Turns a `Comparison` and timelines into HTML with pictures inside it; it needs nothing from elsewhere and runs nothing.
A row is a stage, a block is one segment of one micro-batch: from where its first operator starts on the stage's first
rank to where its last one ends. Blocks narrower than a fifth of a pixel join the one before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest

from dagc.export.times import at_rank, duration_of
from dagc.graph.priced import PICOSECONDS
from dagc.report.comparison import ComparedFigure, ComparedValue, Comparison
from dagc.timeline.timeline import Run, Timeline
from dagc.units import format_seconds

_LABEL, _WIDTH, _ROW, _GAP = 90, 900, 18, 26
_TONES = ("#5d6773", "#aab3bd", "#7f8a96", "#ccd2d9")
"""Micro-batches by turns, in greys: colours tell elsewhere what bounds an operator."""
_HEADINGS = {"prefill": "prefill", "decode": "decode: single step"}
_NARROW = 0.2
_OK = {True: " ✓", False: " ✗", None: ""}
_STYLE = (
    ":root{color-scheme:light dark}body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;border-bottom:1px solid #8886;text-align:left}.best{font-weight:bold}"
    "code{white-space:pre-wrap}svg{display:block;margin:1em 0}svg text{fill:currentColor}"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One plan: its title and the timelines of its phases; none where it was not priced."""

    title: str
    timelines: tuple[Timeline, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """Time in picoseconds on one row."""

    start: int
    end: int
    micro_batch: int
    name: str


def page_bytes(comparison: Comparison, columns: Sequence[Column]) -> bytes:
    """The page, in UTF-8."""
    return ("\n".join(_page(comparison, columns)) + "\n").encode()


def _page(comparison: Comparison, columns: Sequence[Column]) -> Iterator[str]:
    title = escape(" against ".join(plan.title for plan in comparison.plans))
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
    yield from (f"<p>{escape(one.title)}: <code>{escape(one.strategy)}</code></p>" for one in comparison.plans)
    yield from _table(comparison)
    for phases in zip_longest(*(_shown(column) for column in columns)):
        yield from _phase(columns, phases)
    yield "<h2>Differences</h2><table>"
    for one in comparison.differences:
        cells = "".join(f"<td>{escape(value)}</td>" for value in one.values)
        yield f"<tr><th>{escape(one.what)}</th>{cells}<td>{escape(one.why)}</td></tr>"
    yield "</table></body></html>"


def _shown(column: Column) -> Sequence[Timeline]:
    """Prefill and decode; a KV-cache transfer between them is told by the figures."""
    return (column.timelines[0], column.timelines[-1]) if column.timelines else ()


def _table(comparison: Comparison) -> Iterator[str]:
    head = "".join(f"<th>{escape(plan.title)}</th>" for plan in comparison.plans)
    yield f"<table><tr><th></th>{head}</tr>"
    for figure in comparison.figures:
        yield f"<tr><th>{escape(figure.title)}</th>{''.join(_cells(figure))}</tr>"
    yield "</table>"


def _cells(figure: ComparedFigure) -> Iterator[str]:
    for value in figure.values:
        of_best = ' class="best"' if value.is_best else ""
        yield f"<td{of_best}>{escape(_text(value))}</td>"


def _text(value: ComparedValue) -> str:
    change = f" ({value.difference * 100:+.3g} %)" if value.difference else ""
    return f"{value.text}{_OK[value.ok]}{change}"


def _phase(columns: Sequence[Column], timelines: Sequence[Timeline | None]) -> Iterator[str]:
    known = [timeline for timeline in timelines if timeline is not None]
    longest = max((timeline.makespan for timeline in known), default=0)
    if not longest:
        return
    yield f"<h2>{_HEADINGS[known[0].priced.graph.phase.value]}</h2>"
    for column, timeline in zip(columns, timelines, strict=True):
        if timeline is not None:
            yield _drawing(column.title, timeline, _WIDTH / longest)


def _drawing(title: str, timeline: Timeline, scale: float) -> str:
    rows = _rows(timeline)
    height = _GAP + _ROW * len(rows)
    heading = f"{escape(title)}: {format_seconds(timeline.makespan / PICOSECONDS)} on the GPUs"
    parts = [f'<svg width="{_LABEL + _WIDTH}" height="{height}" font-family="sans-serif" font-size="12">']
    parts.append(f'<text x="0" y="14">{heading}</text>')
    for row, (stage, blocks) in enumerate(sorted(rows.items())):
        y = _GAP + row * _ROW
        parts.append(f'<text x="0" y="{y + 13}">stage {stage}</text>')
        parts += [_rectangle(block, y, scale) for block in _joined(blocks, _NARROW / scale)]
    return "\n".join([*parts, "</svg>"])


def _rectangle(block: _Block, y: int, scale: float) -> str:
    x, width = _LABEL + block.start * scale, (block.end - block.start) * scale
    times = f"{format_seconds(block.start / PICOSECONDS)} to {format_seconds(block.end / PICOSECONDS)}"
    tone = _TONES[block.micro_batch % len(_TONES)]
    name = f"micro-batch {block.micro_batch}, {block.name}: {times}"
    shape = f'x="{x:.2f}" y="{y}" width="{width:.2f}" height="{_ROW - 3}" fill="{tone}"'
    return f"<rect {shape}><title>{escape(name)}</title></rect>"


def _rows(timeline: Timeline) -> dict[int, list[_Block]]:
    """The blocks of each stage in the order of time."""
    rows: dict[int, list[_Block]] = {}
    for run in timeline.runs:
        if run.step == 0:
            rows.setdefault(run.stage, []).append(_block(timeline, run))
    return {stage: sorted(blocks, key=lambda block: (block.start, block.end)) for stage, blocks in rows.items()}


def _block(timeline: Timeline, run: Run) -> _Block:
    template = timeline.priced.graph.templates[run.template]
    last, nodes = run.count - 1, range(len(template.nodes))
    start = min(at_rank(run.start(0, node), 0) for node in nodes)
    end = max(at_rank(run.start(last, node), 0) + at_rank(duration_of(timeline, run, last, node), 0) for node in nodes)
    return _Block(start, end, run.micro_batch, template.key)


def _joined(blocks: Sequence[_Block], narrow: float) -> list[_Block]:
    found: list[_Block] = []
    for block in blocks:
        before = found[-1] if found else None
        if before and block.micro_batch == before.micro_batch and block.end - block.start < narrow:
            found[-1] = _Block(before.start, max(before.end, block.end), before.micro_batch, before.name)
        else:
            found.append(block)
    return found
