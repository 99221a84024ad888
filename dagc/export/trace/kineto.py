"""One file a rank, as PyTorch's profiler (Kineto) writes the kernels of a GPU, for programs that analyse such traces.

Turns slices of the lanes into events of category `kernel` on two streams, one for each lane: what Meta's
HolisticTraceAnalysis takes for its breakdown of time and its overlap of communication with computation. It knows a
communication by the name of NCCL's kernels, so theirs begins like those. There are no events of a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from dagc.export.ranks import RankSelection
from dagc.export.trace.arrows import Arrows
from dagc.export.trace.labels import Label, Labels
from dagc.export.trace.slice_table import SliceTable
from dagc.export.trace.slices import lane_slices
from dagc.export.trace.tracks import Traced, tracks
from dagc.graph.ops import Category

COMPUTE_STREAM, COMMUNICATION_STREAM = 7, 20
"""Numbers of streams, as PyTorch happens to give them."""


def kineto_files(traced: Traced, ranks: RankSelection | None) -> dict[str, Iterable[bytes]]:
    """A trace of each chosen rank, all without a choice, by file name."""
    gpus = traced.plan.deployment.gpus
    chosen = ranks or RankSelection()
    return {f"kineto/rank.{rank}.json": _trace(traced, rank, gpus) for rank in chosen.of(gpus)}


def _trace(traced: Traced, rank: int, gpus: int) -> Iterator[bytes]:
    """The trace of one rank in pieces; JSON when joined."""
    # HolisticTraceAnalysis looks for the rank by a pattern that wants the space.
    told = f'{{"backend": "nccl", "rank": {rank}, "world_size": {gpus}}}'
    yield f'{{"schemaVersion": 1, "distributedInfo": {told}, "traceEvents": [\n'.encode()
    labels, separator, count = Labels(), b"", 0
    for phase in tracks(traced, RankSelection(((rank, rank),))):
        for table in lane_slices(phase, labels, Arrows(), lambda _: True):
            yield separator + b",\n".join(_kernels(table, labels, rank, count))
            separator, count = b",\n", count + table.size
    yield b"\n]}\n"


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
        arguments = {"stream": stream, "device": rank, "correlation": number + 1}
        yield orjson.dumps({
            "ph": "X", "cat": "kernel", "name": name, "pid": rank, "tid": stream,
            "ts": start / 1000, "dur": (end - start) / 1000, "args": arguments,
        })  # fmt: skip
