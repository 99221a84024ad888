"""One file a rank, as PyTorch's profiler (Kineto) writes the kernels of a GPU, for programs that analyse such traces.

Turns slices of the lanes into events of category `kernel` on two streams, one for each lane: what Meta's
HolisticTraceAnalysis takes for its breakdown of time and its overlap of communication with computation. It knows a
communication by the name of NCCL's kernels, so theirs begins like those. There are no events of a CPU.

Phases, steps, micro-batches and layers are what PyTorch calls user annotations, on the streams that they span: they
have no argument `stream`, by which the analysis knows a kernel.

For it a rank exists from its first kernel to its last, and what is idle before and after is lost. So each rank has a
kernel of no length at time 0, and one where the last rank ends: idle time is that of the whole trace, on every rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import orjson

from dagc.export.ranks import RankSelection
from dagc.export.trace.arrows import Arrows
from dagc.export.trace.nesting import nested
from dagc.export.trace.slice_table import SLICE, SliceLabel, SliceLabels, SliceTable
from dagc.export.trace.slices import lane_slices
from dagc.export.trace.tracks import Traced, last_end, tracks
from dagc.ops.op import Category, Lane

COMPUTE_STREAM, COMMUNICATION_STREAM = 7, 20
"""Numbers of streams, as PyTorch happens to give them."""

_STREAMS = {Lane.COMPUTE: COMPUTE_STREAM, Lane.COMMUNICATION: COMMUNICATION_STREAM}

BEGINNING, END = "beginning of the trace", "end of the trace"
"""Kernels of no length."""


def kineto_files(traced: Traced, ranks: RankSelection | None) -> dict[str, Iterable[bytes]]:
    """A trace of each chosen rank, all without a choice, by file name."""
    gpus = traced.plan.deployment.gpus
    chosen = ranks or RankSelection()
    # Whole microseconds, because the analysis rounds starts up and ends down: elsewhere it would be of negative length.
    end = last_end(traced) // 1_000_000
    return {f"kineto/rank.{rank}.json": _trace(traced, rank, gpus, end) for rank in chosen.of(gpus)}


def _trace(traced: Traced, rank: int, gpus: int, end: int) -> Iterator[bytes]:
    """The trace of one rank in pieces; JSON when joined."""
    # HolisticTraceAnalysis looks for the rank by a pattern that wants the space.
    distributed = f'{{"backend": "nccl", "rank": {rank}, "world_size": {gpus}}}'
    yield f'{{"schemaVersion": 1, "distributedInfo": {distributed}, "traceEvents": [\n'.encode()
    yield _kernel(BEGINNING, rank, COMPUTE_STREAM, 0, 0.0, 0.0)
    labels, count = SliceLabels(), 1
    for phase in tracks(traced, RankSelection(((rank, rank),))):
        step = ("step",) if phase.timeline.steps > 1 else ()
        streams = {
            thread: stream
            for team in phase.teams
            for lane, stream in _STREAMS.items()
            for thread in team.threads(lane).tolist()
        }
        lanes = lane_slices(phase, labels, Arrows(), lambda _: True)
        for table in nested(lanes, labels, phase.name, (*step, "micro_batch", "layer")):
            yield b"".join(b",\n" + event for event in _events(table.whole, labels, streams, rank, count))
            count += int((table["kind"] == SLICE).sum())
    yield b",\n" + _kernel(END, rank, COMPUTE_STREAM, count, float(end), 0.0) + b"\n]}\n"


def _events(
    table: SliceTable, labels: SliceLabels, streams: Mapping[int, int], rank: int, count: int
) -> Iterator[bytes]:
    """Events of a table; `count` kernels came before it. Times are in microseconds, to the nanosecond."""
    known: list[SliceLabel] = list(labels.numbers)
    columns: list[list[int]] = [table[name].tolist() for name in ("start", "end", "label", "tid", "kind")]
    for row in range(table.size):
        start, end, index, thread, kind = (column[row] for column in columns)
        label, stream, length = known[index], streams[thread], (end - start) / 1000
        if kind != SLICE:
            yield _event("gpu_user_annotation", label.name, rank, stream, start / 1000, length, {})
            continue
        name = f"ncclDevKernel_{label.name}" if label.category == Category.COMMUNICATION else label.name
        yield _kernel(name, rank, stream, count, start / 1000, length)
        count += 1


def _kernel(name: str, rank: int, stream: int, number: int, start: float, length: float) -> bytes:
    """An event; `number` is its own among those of the rank."""
    arguments = {"stream": stream, "device": rank, "correlation": number + 1}
    return _event("kernel", name, rank, stream, start, length, arguments)


def _event(
    category: str, name: str, rank: int, stream: int, start: float, length: float, arguments: dict[str, int]
) -> bytes:
    return orjson.dumps({
        "ph": "X", "cat": category, "name": name, "pid": rank, "tid": stream,
        "ts": start, "dur": length, "args": arguments,
    })  # fmt: skip
