"""How much a file of ranks or of every operator will be, said before it is made.

Turns a request into sentences, from the grouped graph alone; small files are not worth one. Bytes an entry are those of
plans of several forms, and what comes with the entries (arrows, counters, edges) is counted in.
"""

from __future__ import annotations

from dagc.export.expanded_rows import slots
from dagc.export.ranks import RankSelection
from dagc.export.trace.excerpt import Excerpt, slices
from dagc.export.trace.tracks import Traced
from dagc.schedule.limits import size_text

JSON_SLICE, PERFETTO_SLICE, KINETO_SLICE = 440, 160, 170
"""Bytes a slice of an operator, of all that a trace holds."""

GRAPH_NODE, CHAKRA_NODE = 260, 110
"""Bytes of a node in `graph.json` rank by rank, and in a Chakra trace."""

WORTH_SAYING = 100_000_000
"""Bytes from which a size is said before the work: some seconds of it."""


def left_out(traced: Traced, shown: Excerpt) -> str:
    """What a trace holds in place of everything, and how to have everything."""
    whole = size_text(JSON_SLICE * shown.whole)
    return f"{_of(traced, 'the trace')} has {shown.text}; `--trace-slices all` writes all, about {whole} of JSON"


def of_trace(traced: Traced, ranks: RankSelection | None, bytes_each: int) -> tuple[str, ...]:
    """The size of a whole trace."""
    found = slices(traced, ranks)
    return _said(traced, "the trace", f"{found:,} slices of operators", bytes_each * found)


def of_graph(traced: Traced, shown: int) -> tuple[str, ...]:
    """The size of a graph rank by rank that shows so many slots; all of them are gone through."""
    every = sum(slots(timeline.priced.graph) for timeline in traced.timelines)
    entries = f"{shown:,} of {every:,} executions, all of them processed"
    return _said(traced, "the graph rank by rank", entries, GRAPH_NODE * shown, GRAPH_NODE * every)


def of_chakra(traced: Traced, nodes: int) -> tuple[str, ...]:
    """The size of Chakra traces."""
    return _said(traced, "the Chakra traces", f"{nodes:,} nodes", CHAKRA_NODE * nodes)


def _said(traced: Traced, what: str, entries: str, size: int, work: int = 0) -> tuple[str, ...]:
    if max(size, work) < WORTH_SAYING:
        return ()
    return (f"{_of(traced, what)} will have {entries}, about {size_text(size)}",)


def _of(traced: Traced, what: str) -> str:
    return f"{what} of `{traced.plan.name}`"
