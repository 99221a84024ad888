"""Traces of kernels, one a rank: what they hold is what the timeline holds, and HolisticTraceAnalysis finds it there.

The package is installed apart (`pip install HolisticTraceAnalysis psutil`); without it the last test is skipped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagc.export.ranks import RankSelection
from dagc.export.requested import Request, TraceFormat, requested_files
from dagc.export.trace.kineto import COMMUNICATION_STREAM, COMPUTE_STREAM, kineto_files
from dagc.export.trace.tracks import Traced
from dagc.graph.ops import Lane
from tests.unit.export_graphs import graph, plan, timelines
from tests.unit.test_export_ranks import traced

STREAMS = {Lane.COMPUTE: COMPUTE_STREAM, Lane.COMMUNICATION: COMMUNICATION_STREAM}


def written(of: Traced) -> dict[int, dict[str, Any]]:
    files = kineto_files(of, None)
    return {rank: json.loads(b"".join(files[f"kineto/rank.{rank}.json"])) for rank in range(of.plan.deployment.gpus)}


def test_each_rank_has_its_kernels() -> None:
    """152 slices of the small graph (see `test_export_trace`) on 4 ranks: 38 each; rank 1's experts take 7 µs, not 5.

    6 runs of the experts on stage 0 and 2 on stage 1, in micro-batches and phases: 2·2·2 = 8 on rank 1.
    """
    built = graph()
    found = written(Traced(plan(), built, timelines(built)))
    assert sum(len(one["traceEvents"]) for one in found.values()) == 152
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


def test_they_are_written_when_they_are_asked_for() -> None:
    of = traced("ep 4")
    files, problems = requested_files(of, Request(RankSelection(((1, 2),)), TraceFormat.KINETO))
    assert problems == ()
    assert list(files) == ["kineto/rank.1.json", "kineto/rank.2.json"]
    assert requested_files(of, Request(trace_format=TraceFormat.KINETO, limit=1000))[1][0].code.code == "X301"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # What it uses of pandas is to go away; that is not this test's matter.
def test_the_public_analysis_finds_the_time_of_each_rank(tmp_path: Path) -> None:
    """Computing, and working at all: to 2 µs a slice, because it rounds starts and durations to whole ones."""
    analysis = pytest.importorskip("hta.trace_analysis", reason="HolisticTraceAnalysis is not installed")
    of = traced("pp 2 [micro 1] < ep 2 ; tp 2 >")
    files = kineto_files(of, None)
    for name, content in files.items():
        (tmp_path / Path(name).name).write_bytes(b"".join(content))
    read = analysis.TraceAnalysis(trace_dir=str(tmp_path))
    rows = read.get_temporal_breakdown(visualize=False).set_index("rank")
    for rank, one in written(of).items():
        kernels = one["traceEvents"]
        computing = sum(e["dur"] for e in kernels if e["args"]["stream"] == COMPUTE_STREAM)
        assert rows.loc[rank, "compute_time(us)"] == pytest.approx(computing, abs=2 * len(kernels))
        span = max(e["ts"] + e["dur"] for e in kernels) - min(e["ts"] for e in kernels)
        assert rows.loc[rank, "kernel_time(us)"] == pytest.approx(span, abs=2)
        busy = rows.loc[rank, "kernel_time(us)"] - rows.loc[rank, "idle_time(us)"]
        assert busy >= rows.loc[rank, "compute_time(us)"]
