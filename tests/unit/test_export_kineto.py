"""Traces of kernels, one a rank: what they hold is what the timeline holds, and HolisticTraceAnalysis finds it there.

The package is installed apart (`pip install HolisticTraceAnalysis psutil`); without it the last test is skipped.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dagc.export.ranks import RankSelection
from dagc.export.requested import Request, TraceFormat, requested_files
from dagc.export.trace.kineto import BEGINNING, COMMUNICATION_STREAM, COMPUTE_STREAM, END, kineto_files
from dagc.export.trace.tracks import Traced
from dagc.ops.op import Lane
from tests.unit.export_graphs import graph, plan, timelines
from tests.unit.test_export_ranks import traced

STREAMS = {Lane.COMPUTE: COMPUTE_STREAM, Lane.COMMUNICATION: COMMUNICATION_STREAM}


def written(of: Traced) -> dict[int, dict[str, Any]]:
    """The files by rank, with kernels and annotations apart."""
    files = kineto_files(of, None)
    found = {rank: json.loads(b"".join(files[f"kineto/rank.{rank}.json"])) for rank in range(of.plan.deployment.gpus)}
    for one in found.values():
        one["annotations"] = [event for event in one["traceEvents"] if event["cat"] == "gpu_user_annotation"]
        one["traceEvents"] = [event for event in one["traceEvents"] if event["cat"] == "kernel"]
    return found


def test_each_rank_has_its_kernels() -> None:
    """152 slices of the small graph (see `test_export_trace`) on 4 ranks: 38 each, and two of no length that mark
    beginning and end; rank 1's experts take 7 µs, not 5.

    6 runs of the experts on stage 0 and 2 on stage 1, in micro-batches and phases: 2·2·2 = 8 on rank 1.
    """
    built = graph()
    found = written(Traced(plan(), built, timelines(built)))
    assert sum(len(one["traceEvents"]) for one in found.values()) == 152 + 2 * 4
    assert [one["distributedInfo"]["rank"] for one in found.values()] == [0, 1, 2, 3]
    for rank, micros in ((0, 5.0), (1, 7.0)):
        experts = [e["dur"] for e in found[rank]["traceEvents"] if e["name"] == "experts"]
        assert experts == [micros] * 8


def test_a_lane_is_a_stream_and_a_communication_is_named_for_it() -> None:
    built = graph()
    for one in written(Traced(plan(), built, timelines(built))).values():
        streams = {(e["args"]["stream"], e["name"].startswith("ncclDevKernel_")) for e in one["traceEvents"]}
        assert streams == {(COMPUTE_STREAM, False), (COMMUNICATION_STREAM, True)}
        assert len({e["args"]["correlation"] for e in one["traceEvents"]}) == len(one["traceEvents"])


def test_phases_micro_batches_and_layers_are_annotations_around_kernels() -> None:
    """Rank 0 has 2 layers on each of 2 lanes in each of 2 micro-batches and phases: 2·2·2·2 = 16."""
    built = graph()
    one = written(Traced(plan(), built, timelines(built)))[0]
    names = Counter((event["name"].split()[0], event["tid"]) for event in one["annotations"])
    assert names == {
        (name, stream): count
        for name, count in (("prefill", 1), ("decode", 1), ("micro-batch", 4), ("layer", 8))
        for stream in STREAMS.values()
    }
    assert all("stream" not in event["args"] for event in one["annotations"])
    assert {event["cat"] for event in one["traceEvents"]} == {"kernel"}
    for event in one["annotations"]:
        inside = [
            kernel for kernel in one["traceEvents"]
            if kernel["tid"] == event["tid"] and event["ts"] <= kernel["ts"] < event["ts"] + event["dur"] - 1e-6
        ]  # fmt: skip
        assert min(kernel["ts"] for kernel in inside) == event["ts"]
        assert max(kernel["ts"] + kernel["dur"] for kernel in inside) == pytest.approx(event["ts"] + event["dur"])


def test_they_are_written_when_they_are_asked_for() -> None:
    of = traced("ep 4")
    files, problems = requested_files(of, Request(RankSelection(((1, 2),)), TraceFormat.KINETO))
    assert problems == ()
    assert list(files) == ["kineto/rank.1.json", "kineto/rank.2.json"]
    assert requested_files(of, Request(trace_format=TraceFormat.KINETO, limit=1000))[1][0].code.code == "X301"


def test_every_rank_begins_and_ends_with_the_trace() -> None:
    """Those of decode at time 0, before anything runs on them, and those of prefill when decode ends."""
    found = written(traced("prefill < tp 2 > | decode < ep 2 >"))
    last = max(e["ts"] + e["dur"] for one in found.values() for e in one["traceEvents"])
    for rank, one in found.items():
        first, *kernels, end = one["traceEvents"]
        assert (first["name"], first["ts"], first["dur"]) == (BEGINNING, 0, 0)
        assert (end["name"], end["dur"]) == (END, 0) and 0 <= last - end["ts"] < 1
        assert rank < 2 or min(e["ts"] for e in kernels) > 0
        assert rank >= 2 or max(e["ts"] + e["dur"] for e in kernels) < end["ts"]
        assert all(e["dur"] > 0 for e in kernels)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # What it uses of pandas is to go away; that is not this test's matter.
@pytest.mark.parametrize("strategy", ["pp 2 [micro 1] < ep 2 ; tp 2 >", "prefill < tp 2 > | decode < ep 2 >"])
def test_the_public_analysis_finds_the_time_of_each_rank(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computing, communicating and idle, as the timelines have them: to a nanosecond a slice where it does not round to
    microseconds. The lanes of these plans take turns, so a rank is at work for the sum of both.
    """
    monkeypatch.setenv("HTA_DISABLE_NS_ROUNDING", "1")
    analysis = pytest.importorskip("hta.trace_analysis", reason="HolisticTraceAnalysis is not installed")
    of = traced(strategy)
    for name, content in kineto_files(of, None).items():
        (tmp_path / Path(name).name).write_bytes(b"".join(content))
    read = analysis.TraceAnalysis(trace_dir=str(tmp_path))
    rows = read.get_temporal_breakdown(visualize=False).set_index("rank")
    kernels = {rank: one["traceEvents"] for rank, one in written(of).items()}
    end = max(e["ts"] + e["dur"] for held in kernels.values() for e in held)
    for rank, held in kernels.items():
        computing, communicating = (lane_micros(of, rank, lane) for lane in (Lane.COMPUTE, Lane.COMMUNICATION))
        slack = 1 + len(held) / 1000
        assert rows.loc[rank, "compute_time(us)"] == pytest.approx(computing, abs=slack)
        assert rows.loc[rank, "non_compute_time(us)"] == pytest.approx(communicating, abs=slack)
        assert rows.loc[rank, "idle_time(us)"] == pytest.approx(end - computing - communicating, abs=slack)


def lane_micros(of: Traced, rank: int, lane: Lane) -> float:
    """Microseconds that a lane of a rank is occupied in all steps that are shown."""
    busy = 0
    for timeline in of.timelines:
        for index, team in enumerate(timeline.priced.graph.teams):
            times = timeline.busy.get((index, lane))
            if times is not None and rank in team.ranks:
                local = int((team.ranks == rank).argmax())
                busy += timeline.steps * int(times[local if times.size > 1 else 0])
    return busy / 1e6
