"""Files that are made only when asked for: traces of chosen ranks, in protobuf, compressed; the graph rank by rank.

Turns a request into streams of bytes that are made while they are written, so memory stays flat. What would be too
large to read again is refused before it is made. What will be large is announced with its size, from the grouped graph
alone: bytes an entry are those of plans of several forms, and what comes with the entries (arrows, counters, edges) is
counted in.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from dagc.diag.diagnostic import Diagnostic
from dagc.export.expanded_rows import executions, slots
from dagc.export.graph_expanded import expanded_graph
from dagc.export.ranks import RankSelection
from dagc.export.trace.excerpt import MOST_SLICES, Excerpt, excerpt, slices
from dagc.export.trace.kineto import kineto_files
from dagc.export.trace.perfetto import perfetto_trace
from dagc.export.trace.trace_json import trace_json
from dagc.export.trace.tracks import Traced, first_rank
from dagc.memory_limit import NO_SUCH_RANK, default_limit, refusal, size_text
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline

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


_SLICE_BYTES = 320
"""Memory that a trace processor needs a slice of an operator: 290 bytes a slice, and one in ten is around others."""

_NODE_BYTES = 600
"""Memory of a node and its edges as text, and somewhat more once read."""

_ROWS = 2
"""Rows of the graph a slot at most, virtual ones among them; each takes a byte."""

_NARROWER = (7, 3, 1, 0)
"""Last ranks of the selections that a refusal may offer."""


class TraceFormat(StrEnum):
    """How a trace is written."""

    JSON = "json"
    PERFETTO = "perfetto"
    KINETO = "kineto"


_BYTES = {
    TraceFormat.JSON: JSON_SLICE,
    TraceFormat.PERFETTO: PERFETTO_SLICE,
    TraceFormat.KINETO: KINETO_SLICE,
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for beyond the default. `limit` in bytes; None is half of the available memory. `slices`
    at most; None is `MOST_SLICES` where no ranks are named, else all.
    """

    ranks: RankSelection | None = None
    trace_format: TraceFormat = TraceFormat.JSON
    compressed: bool = False
    expand: bool = False
    limit: int | None = None
    slices: int | None = None

    @property
    def changes_the_trace(self) -> bool:
        """Whether the default trace is not what is asked for."""
        given = self.ranks, self.slices
        return given != (None, None) or self.trace_format is not TraceFormat.JSON or self.compressed

    def shown(self, traced: Traced) -> Excerpt | None:
        """What is shown of the trace, None for all of it."""
        if self.trace_format is TraceFormat.KINETO:
            return None
        most = MOST_SLICES if self.slices is None and self.ranks is None else self.slices
        return None if most is None else excerpt(traced, self.ranks, most)


Files = dict[str, Iterable[bytes]]
"""Contents by file name, as they come."""


def requested_files(traced: Traced, request: Request) -> tuple[Files, tuple[Diagnostic, ...]]:
    """Streams by file name, and what is refused."""
    missing = missing_rank(traced, request.ranks)
    if missing:
        return {}, (missing,)
    refused = [found for found in (_trace_refusal(traced, request), _graph_refusal(traced, request)) if found]
    if refused:
        return {}, tuple(refused)
    files: Files = {}
    if request.changes_the_trace:
        files |= _trace(traced, request, request.shown(traced))
    if request.expand:
        files["graph.json"] = expanded_graph(traced, request.ranks or RankSelection())
    return files, ()


def sizes(traced: Traced, request: Request) -> tuple[str, ...]:
    """What will be large, said before it is made, and what is left out of the trace."""
    said: list[str] = []
    shown = request.shown(traced)
    if shown:
        said.append(left_out(traced, shown))
    elif request.changes_the_trace:
        everyone = RankSelection() if request.trace_format is TraceFormat.KINETO else None
        said += of_trace(traced, request.ranks or everyone, _BYTES[request.trace_format])
    if request.expand:
        said += of_graph(traced, _graph_slots(traced, request.ranks or RankSelection()))
    return tuple(said)


def _trace(traced: Traced, request: Request, shown: Excerpt | None) -> Files:
    if request.trace_format is TraceFormat.KINETO:
        files = kineto_files(traced, request.ranks)
        return {f"{name}.gz": gzipped(content) for name, content in files.items()} if request.compressed else files
    if request.trace_format is TraceFormat.PERFETTO:
        name, content = "trace.pftrace", perfetto_trace(traced, request.ranks, shown)
    else:
        name, content = "trace.json", trace_json(traced, request.ranks, shown)
    return {f"{name}.gz": gzipped(content)} if request.compressed else {name: content}


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, compressed as they come; no name and no time, so equal content is equal bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()


def missing_rank(traced: Traced, ranks: RankSelection | None) -> Diagnostic | None:
    """Why a selection cannot be shown: it names a rank past the last."""
    gpus, last = traced.plan.deployment.gpus, ranks.last if ranks else None
    if last is None or last < gpus:
        return None
    return NO_SUCH_RANK.at(
        None,
        f"there is no rank {last:,}: `{traced.plan.name}` has {gpus:,} GPUs, so its last rank is {gpus - 1:,}",
        help=(f"name ranks from 0 to {gpus - 1}, or `all`",),
    )


def _trace_refusal(traced: Traced, request: Request) -> Diagnostic | None:
    everyone = RankSelection() if request.trace_format is TraceFormat.KINETO else None
    ranks = request.ranks or everyone
    if request.shown(traced) or (ranks is None and request.slices is None):
        return None
    if ranks is None:
        found = slices(traced, None)
        limit = default_limit() if request.limit is None else request.limit
        return refusal(f"the trace of `{traced.plan.name}`", found, _SLICE_BYTES * found, limit, None)
    timelines = (*traced.timelines, *traced.others)

    def estimate(ranks: RankSelection) -> tuple[int, int]:
        found = sum(timeline.steps * shown_slots(traced.plan, timeline, ranks, True) for timeline in timelines)
        return found, _SLICE_BYTES * found

    return narrower_refusal(traced, "the trace", estimate, ranks, request.limit)


def _graph_refusal(traced: Traced, request: Request) -> Diagnostic | None:
    """The text of the shown slots, and a byte for each row."""
    if not request.expand:
        return None
    rows = _ROWS * sum(slots(timeline.priced.graph) for timeline in traced.timelines)

    def estimate(ranks: RankSelection) -> tuple[int, int]:
        found = _graph_slots(traced, ranks)
        return found, _NODE_BYTES * found + rows

    ranks = request.ranks or RankSelection()
    return narrower_refusal(traced, "the graph rank by rank", estimate, ranks, request.limit)


def _graph_slots(traced: Traced, ranks: RankSelection) -> int:
    return sum(shown_slots(traced.plan, timeline, ranks, False) for timeline in traced.timelines)


def narrower_refusal(
    traced: Traced,
    what: str,
    estimate: Callable[[RankSelection], tuple[int, int]],
    ranks: RankSelection,
    given: int | None,
) -> Diagnostic | None:
    """Why these ranks are too many for the limit that is given, in bytes, or for the default one.

    The narrower selection that is offered is sure to fit.
    """
    limit = default_limit() if given is None else given
    found, needed = estimate(ranks)
    if needed <= limit:
        return None
    last = traced.plan.deployment.gpus - 1
    fitting = (n for n in _NARROWER if n <= last and estimate(RankSelection(((0, n),)))[1] <= limit)
    most = next(fitting, None)
    few = None if most is None else f"0-{most}" if most else "0"
    return refusal(f"{what} of `{traced.plan.name}`", found, needed, limit, few)


def shown_slots(plan: Plan, timeline: Timeline, ranks: RankSelection, all_replicas: bool) -> int:
    """Slots of the selected ranks in step 0, in all replicas or in the first."""
    graph = timeline.priced.graph
    times = executions(graph)
    own = first_rank(plan, graph, graph.replicas[0])
    moves = (first_rank(plan, graph, replica) - own for replica in graph.replicas[: None if all_replicas else 1])
    return sum(
        often * int(ranks.holds(team.ranks + move).sum())
        for move in moves
        for often, team in zip(times, graph.teams, strict=True)
    )
