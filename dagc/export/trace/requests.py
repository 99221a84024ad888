"""A simulation of requests as a Perfetto trace: a track for each request, and one for the steps of each replica.

A request waits, has its prompt computed, is moved where prefill and decode are services of their own, and is decoded;
its track is with the rank (attention dp) that decoded it. The steps of a replica are in runs of steps of the same
sequences, as the simulation advances them; counters beside them have its queue, its running sequences and its cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.export.trace.counters import GIGA, Counter
from dagc.export.trace.parts import Part, Process
from dagc.export.trace.perfetto import perfetto_parts
from dagc.export.trace.slice_table import TABLE, Column, SliceLabel, SliceLabels, SliceTable
from dagc.simulate.load import LoadRun

MOST_REQUESTS = 5_000
"""Requests that a trace shows, the first to arrive: a track each."""

_PICOSECONDS_PER_NS = 1000

_OF_STEPS = {"steps": 2, "sequences": 4, "prompt_tokens": 5, "waiting": 6, "blocks": 7}
"""Arguments of a run of steps, by column of `Simulated.runs`: what waits and is held at its end, over all ranks."""

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """A slice of each of some requests, from one time to another."""

    name: str
    begin: Column
    end: Column
    is_there: _Mask


def request_trace(run: LoadRun, most: int = MOST_REQUESTS) -> Iterator[bytes]:
    """The trace in pieces, of the first so many requests and of the steps until the last of these ends."""
    labels = SliceLabels()
    return perfetto_parts(_parts(run, min(most, len(run.requests)), labels), labels)


def _parts(run: LoadRun, shown: int, labels: SliceLabels) -> Iterator[Part]:
    places = np.column_stack(run.places(slice(0, shown)))
    queues, queue = np.unique(places, axis=0, return_inverse=True)
    queue = queue.ravel()
    replicas = [(number, one) for number, policy in enumerate(run.policies) for one in range(policy.replicas)]
    # Processes are 1 for the note, then the replicas, then the queues; numbers of threads go on from there.
    first_thread = 2 + len(replicas) + len(queues)
    steps_thread = {one: first_thread + 1 + index for index, one in enumerate(replicas)}
    request_thread = first_thread + 1 + len(replicas) + np.arange(shown)
    yield Process(1, "simulation", ((first_thread, "what is shown"),))
    for index, one in enumerate(replicas):
        yield Process(2 + index, _replica_name(run, *one), ((steps_thread[one], "steps"),))
    for index in range(len(queues)):
        number, one, of_replica = (int(place) for place in queues[index])
        name = f"requests of {_replica_name(run, number, one)}"
        name += f" · rank {of_replica}" if run.policies[number].ranks > 1 else ""
        threads = [(int(request_thread[i]), f"request {i}") for i in np.flatnonzero(queue == index)]
        yield Process(2 + len(replicas) + index, name, tuple(threads))
    end = int(run.simulated.last[:shown].max())
    yield _note(run, shown, end, first_thread, labels)
    yield from _requests(run, shown, request_thread, labels)
    for index, one in enumerate(replicas):
        rows = run.simulated.runs
        rows = rows[(rows[:, 3] == one[0] << 32 | one[1]) & (rows[:, 0] < end)]
        yield from _steps(rows, steps_thread[one], labels)
        if len(rows):
            yield from _counters(rows, 2 + index)


def _replica_name(run: LoadRun, service: int, replica: int) -> str:
    name = f"{run.services[service].phase} · " if len(run.services) > 1 else ""
    return f"{name}replica {replica}"


def _note(run: LoadRun, shown: int, end: int, thread: int, labels: SliceLabels) -> SliceTable:
    """How many requests are shown, as a slice over all of the time."""
    every = len(run.requests)
    text = f"the first {shown:,} of {every:,} requests" if shown < every else f"all {every:,} requests"
    label = SliceLabel(text, "note", (("requests_shown", shown), ("requests_simulated", every)))
    zero = np.zeros(1, dtype=np.int64)
    return _table(zero, np.array([end]), np.array([thread]), np.array([labels.number(label)]), {})


def _requests(run: LoadRun, shown: int, threads: Column, labels: SliceLabels) -> Iterator[SliceTable]:
    """Slices of all requests, stage after stage, so that one ends before the next begins at the same moment."""
    requests, part = run.requests, slice(0, shown)
    number = np.arange(shown, dtype=np.int64)
    given = {
        "request": number,
        "prompt_tokens": requests.prompt[part].astype(np.int64),
        "output_tokens": requests.output[part].astype(np.int64),
        "hit_tokens": requests.hit[part].astype(np.int64),
        "preemptions": run.simulated.preempted[part].astype(np.int64),
        "counted": run.counted[part].astype(np.int64),
    }
    for stage in _stages(run, part):
        there = stage.is_there
        label = labels.number(SliceLabel(stage.name, "request", (("stage", stage.name),)))
        numbers = {name: column[there] for name, column in given.items()}
        size = int(there.sum())
        if size:
            label_column = np.full(size, label, dtype=np.int64)
            yield _table(stage.begin[there], stage.end[there], threads[there], label_column, numbers)


def _stages(run: LoadRun, part: slice) -> Iterator[_Stage]:
    """What a request does, in order. The first token is where prefill ends, on the way to the client included."""
    done = run.simulated
    issued, entered, admitted = done.issued[part], done.entered[part], done.admitted[part]
    first, last, output = done.first[part], done.last[part], run.requests.output[part]
    moves = (output > 1) & (len(run.services) > 1)
    # A client may have its first token before or after the cache is where decode is.
    is_early = moves & (first < entered)
    yield _Stage("queued", issued, admitted, admitted > issued)
    yield _Stage("prefill", admitted, first, ~moves | is_early)
    yield _Stage("KV-cache transfer", first, entered, is_early)
    yield _Stage("prefill and KV-cache transfer", admitted, entered, moves & ~is_early)
    yield _Stage("decode", first, last, ~moves & (output > 1))
    yield _Stage("decode with its queue", entered, last, moves)


def _steps(rows: npt.NDArray[np.int64], thread: int, labels: SliceLabels) -> Iterator[SliceTable]:
    """Runs of steps of one replica, `TABLE` at a time."""
    kinds = [
        labels.number(SliceLabel(name, "steps", (("kind", name),)))
        for name in ("decode", "prefill", "prefill and decode")
    ]
    for first in range(0, len(rows), TABLE):
        part = rows[first : first + TABLE]
        kind = np.where(part[:, 5] == 0, kinds[0], np.where(part[:, 4] == 0, kinds[1], kinds[2]))
        columns = {name: part[:, place] for name, place in _OF_STEPS.items()}
        yield _table(part[:, 0], part[:, 1], np.full(len(part), thread, dtype=np.int64), kind, columns)


def _counters(rows: npt.NDArray[np.int64], pid: int) -> Iterator[Counter]:
    """Figures of a replica from the begin of each run; 0 sequences wait and run where it is idle."""
    begin, end = rows[:, 0], rows[:, 1]
    is_idle = np.append(end[:-1] < begin[1:], True)
    times = np.concatenate([begin, end[is_idle]])
    order = np.argsort(times, kind="stable")
    for name, unit, place in (("waiting", "requests", 6), ("running", "sequences", 4)):
        values = np.concatenate([rows[:, place], np.zeros(int(is_idle.sum()), dtype=np.int64)])
        yield Counter(pid, name, unit, times[order] // _PICOSECONDS_PER_NS, values[order] * GIGA)
    yield Counter(pid, "KV cache", "blocks", begin // _PICOSECONDS_PER_NS, rows[:, 7] * GIGA)


def _table(begin: Column, end: Column, tid: Column, label: Column, numbers: Mapping[str, Column]) -> SliceTable:
    """Slices from times in picoseconds."""
    zero = np.zeros(len(begin), dtype=np.int64)
    places = {"start": begin // _PICOSECONDS_PER_NS, "end": end // _PICOSECONDS_PER_NS, "tid": tid, "label": label}
    return SliceTable({**places, "kind": zero, "flow": zero, **numbers}, tuple(numbers))
