"""The trace: slices never overlap, no arrow is lost, and the engine that readers use accepts every event.

The small graph (see `export_graphs`): per phase 2 micro-batches run embedding, 2 MoE layers, send, receive, 1 MoE
layer, head. 5 nodes of a layer take time (the fused activation does not): 1 + 2·5 + 1 + 1 + 5 + 1 = 19 executions a
micro-batch, on 2 ranks that differ because rank 1 has slower experts: 2·19·2 = 76 slices a phase, 152 in all.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dagc.export.chrome_trace import trace_bytes, trace_pieces
from dagc.export.rank_classes import rank_classes
from tests.harness.traceprocessor import DROPPED, TraceProcessor
from tests.unit.export_graphs import graph, plan, timelines


@pytest.fixture(scope="module")
def content() -> bytes:
    built = graph()
    return trace_bytes(plan(), built, timelines(built))


@pytest.fixture(scope="module")
def events(content: bytes) -> list[dict[str, Any]]:
    return json.loads(content, parse_float=lambda text: round(float(text) * 1000))["traceEvents"]


def test_every_execution_that_takes_time_is_a_slice(events: list[dict[str, Any]]) -> None:
    assert sum(event["ph"] == "X" for event in events) == 152


def test_slices_of_a_lane_touch_and_never_overlap(events: list[dict[str, Any]]) -> None:
    lanes = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            lanes[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert len(lanes) == 16
    for slices in lanes.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(slices)))


def test_decode_begins_when_prefill_ends(events: list[dict[str, Any]]) -> None:
    built = graph()
    prefill, _ = timelines(built)
    decode = {e["pid"] for e in events if e["name"] == "process_name" and e["args"]["name"].startswith("2 decode")}
    assert min(e["ts"] for e in events if e["ph"] == "X" and e["pid"] in decode) == prefill.makespan // 1000


def test_ranks_that_differ_have_lanes_of_their_own() -> None:
    for timeline in timelines(graph()):
        classes = rank_classes(timeline)
        assert [c.names for c in classes] == [("rank 0", "rank 1"), ("rank 2", "rank 3")]


def test_arrows_have_two_ends_and_an_id_each(events: list[dict[str, Any]]) -> None:
    """A phase and rank: 2·3 layers have a dispatch and a combine, 2 micro-batches a send: 8; 2 ranks, 2 phases: 32."""
    starts = {e["id"]: (e["name"], e["cat"]) for e in events if e["ph"] == "s"}
    ends = {e["id"]: (e["name"], e["cat"]) for e in events if e["ph"] == "f"}
    assert starts == ends
    assert len(starts) == 32


def test_the_stream_gets_the_same_bytes(content: bytes) -> None:
    built, stream = graph(), io.BytesIO()
    stream.writelines(trace_pieces(plan(), built, timelines(built)))
    assert stream.getvalue() == content


def test_a_real_trace_processor_drops_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with TraceProcessor(path) as processor:
        assert processor.query(DROPPED) == []
        assert processor.query("select count(*) as n from slice") == [{"n": 152}]
        assert processor.query("select count(*) as n from flow") == [{"n": 32}]
        assert processor.query("select count(*) as n from slice where depth > 0") == [{"n": 0}]
        names = processor.query("select name from process where name is not null order by name")
        assert names[0]["name"] == "1 prefill · main · stage 00"
        (row,) = processor.query("select sum(dur) as n from slice where name = 'experts'")
        assert row["n"] == 2 * 2 * 3 * (5000 + 7000)
