"""One file a rank, as PyTorch's profiler (Kineto) writes the kernels of a GPU, for programs that analyse such traces.

Turns slices of the lanes into events of category `kernel` on two streams, one for each lane: what Meta's
HolisticTraceAnalysis takes for its breakdown of time and its overlap of communication with computation. It knows a
communication by the name of NCCL's kernels, so theirs begins like those. There are no events of a CPU.

For it a rank exists from its first kernel to its last, and what is idle before and after is lost. So each rank has a
kernel of no length at time 0, and one where the last rank ends: idle time is that of the whole trace, on every rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from dagc.export.ranks import RankSelection
from dagc.export.trace.arrows import Arrows
from dagc.export.trace.labels import Label, Labels
from dagc.export.trace.slice_table import SliceTable
from dagc.export.trace.slices import lane_slices
from dagc.export.trace.tracks import Traced, last_end, tracks
from dagc.graph.ops import Category

COMPUTE_STREAM, COMMUNICATION_STREAM = 7, 20
"""Numbers of streams, as PyTorch happens to give them."""

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
    told = f'{{"backend": "nccl", "rank": {rank}, "world_size": {gpus}}}'
    yield f'{{"schemaVersion": 1, "distributedInfo": {told}, "traceEvents": [\n'.encode()
    yield _kernel(BEGINNING, rank, COMPUTE_STREAM, 0, 0.0, 0.0)
    labels, count = Labels(), 1
    for phase in tracks(traced, RankSelection(((rank, rank),))):
        for table in lane_slices(phase, labels, Arrows(), lambda _: True):
            yield b"".join(b",\n" + kernel for kernel in _kernels(table, labels, rank, count))
            count += table.size
    yield b",\n" + _kernel(END, rank, COMPUTE_STREAM, count, float(end), 0.0) + b"\n]}\n"


def _kernels(table: SliceTable, labels: Labels, rank: int, count: int) -> Iterator[bytes]:
    """Events of a table; `count` came before it. Times are in microseconds, with as many digits as nanoseconds need."""
    known: list[Label] = list(labels.numbers)
    starts: list[int] = table["start"].tolist()
    ends: list[int] = table["end"].tolist()
    which: list[int] = table["label"].tolist()
    for number, (start, end, index) in enumerate(zip(starts, ends, which, strict=True), start=count):
        label = known[index]
        communicates = label.category == Category.COMMUNICATION
        stream = COMMUNICATION_STREAM if communicates else COMPUTE_STREAM
        name = f"ncclDevKernel_{label.name}" if communicates else label.name
        yield _kernel(name, rank, stream, number, start / 1000, (end - start) / 1000)


def _kernel(name: str, rank: int, stream: int, number: int, start: float, length: float) -> bytes:
    """An event; `number` is its own among those of the rank."""
    arguments = {"stream": stream, "device": rank, "correlation": number + 1}
    return orjson.dumps({
        "ph": "X", "cat": "kernel", "name": name, "pid": rank, "tid": stream,
        "ts": start, "dur": length, "args": arguments,
    })  # fmt: skip
