"""The trace: slices never overlap, no arrow is lost, and the engine that readers use accepts every event.

The small graph (see `export_graphs`): per phase 2 micro-batches run embedding, 2 MoE layers, send, receive, 1 MoE
layer, head. 5 nodes of a layer take time (the fused activation does not): 1 + 2·5 + 1 + 1 + 5 + 1 = 19 executions a
micro-batch, on 2 ranks that differ because rank 1 has slower experts: 2·19·2 = 76 slices a phase on lanes, 152 in all.
Beside them each phase has its critical path, and each of 2 stages a slice for each of 2 micro-batches: 8 in all.
Around the slices of operators are those of the phase, of micro-batches and of layers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from dagc.cost.memory import MemoryPart
from dagc.driver.check import check
from dagc.export.trace import slice_table
from dagc.export.trace.perfetto import perfetto_trace
from dagc.export.trace.trace_json import trace_json
from dagc.export.trace.tracks import Traced, rank_classes
from dagc.graph.priced import PICOSECONDS
from dagc.source import Source
from tests.harness.traceprocessor import DROPPED, MISNESTED, TraceProcessor
from tests.unit.export_graphs import graph, plan, timelines
from tests.unit.test_export_ranks import traced

FRAMES = ("phase", "step", "micro-batch", "stage", "layer")
"""Categories of slices around others."""

LANES = (
    "select s.ts, s.dur, s.name, s.category, utid, "
    + ", ".join(
        f"coalesce(extract_arg(s.arg_set_id, 'args.{name}'), extract_arg(s.arg_set_id, 'debug.{name}')) as {name}"
        for name in ("step", "micro_batch", "layer")
    )
    + " from slice s join thread_track k on s.track_id = k.id join thread t using (utid) "
    "where t.name glob '*compute' or t.name glob '*communication' order by utid, s.ts, s.depth"
)


@pytest.fixture(scope="module")
def content() -> bytes:
    built = graph()
    return b"".join(trace_json(Traced(plan(), built, timelines(built))))


@pytest.fixture(scope="module")
def events(content: bytes) -> list[dict[str, Any]]:
    return json.loads(content, parse_float=lambda text: round(float(text) * 1000))["traceEvents"]


@pytest.fixture(scope="module")
def threads(events: list[dict[str, Any]]) -> dict[int, str]:
    return {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}


def test_every_execution_that_takes_time_is_a_slice(events: list[dict[str, Any]], threads: dict[int, str]) -> None:
    found: defaultdict[str, int] = defaultdict(int)
    for event in events:
        if event["ph"] == "X" and event["cat"] not in FRAMES:
            found[threads[event["tid"]].rpartition(" · ")[2]] += 1
        elif event.get("cat") == "micro-batch":
            found["micro-batches"] += threads[event["tid"]] == "micro-batches"
    assert found["compute"] + found["communication"] == 152
    assert found["micro-batches"] == 8


def test_slices_of_a_lane_touch_and_never_overlap(events: list[dict[str, Any]]) -> None:
    lanes: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X" and event["cat"] not in FRAMES:
            lanes[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    # Two lanes of four ranks in two phases, and the critical path and the time breakdown of each.
    assert len(lanes) == 16 + 4
    for slices in lanes.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(slices)))


@pytest.mark.parametrize(
    "size", [1, 37, pytest.param(5, marks=pytest.mark.slow), pytest.param(slice_table.TABLE, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("strategy", ["pp 2 [micro 4] < ep 4 [overlap 2] >", "pp 2 [micro 3] < tp 2 | ep 4 >"])
def test_slices_nest_whatever_the_size_of_a_table(
    strategy: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found from the operators alone: a frame for each stretch on a lane with the same step, micro-batch and layer."""
    monkeypatch.setattr(slice_table, "TABLE", size)
    monkeypatch.setattr("dagc.export.trace.slices.TABLE", size)
    of = traced(strategy, "mixtral-8x7b { layers 3 }", 12)
    for write in (trace_json, perfetto_trace):
        path = tmp_path / write.__name__
        path.write_bytes(b"".join(write(of)))
        with TraceProcessor(path) as processor:
            assert processor.query(DROPPED) == []
            assert processor.query(MISNESTED) == []
            rows = processor.query(LANES)
        operators = [row for row in rows if row["category"] not in FRAMES]
        for level, category in enumerate(("phase", "step", "micro-batch", "layer"), start=1):
            keys = ("utid", "step", "micro_batch", "layer")[:level]
            stretches: list[tuple[int, int]] = []
            for one, more in groupby(operators, lambda row: tuple(row[key] for key in keys)):  # noqa: B023
                spans = list(more)
                has = {"step": any(row["name"] == "step 1" for row in rows if row["utid"] == one[0])}
                if has.get(category, True) and one[-1] is not None:
                    stretches.append((spans[0]["ts"], spans[-1]["ts"] + spans[-1]["dur"]))
            found = [(row["ts"], row["ts"] + row["dur"]) for row in rows if row["category"] == category]
            assert sorted(found) == sorted(stretches)


def test_the_critical_path_has_no_gap_and_is_as_long_as_the_phase(events: list[dict[str, Any]]) -> None:
    """Threads 1 and 3 of the first process; each phase begins where the one before it ends."""
    begin = end = 0
    for thread, timeline in zip((1, 3), timelines(graph()), strict=True):
        slices = [e for e in events if e.get("cat") == "critical path" and e["tid"] == thread]
        spans = [(e["ts"], e["ts"] + e["dur"]) for e in slices]
        assert spans[0][0] == begin
        assert all(end == start for (_, end), (start, _) in pairwise(spans))
        end += timeline.makespan
        begin = end // 1000
        assert spans[-1][1] == begin


def test_decode_begins_when_prefill_ends(events: list[dict[str, Any]]) -> None:
    built = graph()
    prefill, _ = timelines(built)
    decode = {e["pid"] for e in events if e["name"] == "process_name" and e["args"]["name"].startswith("decode")}
    assert min(e["ts"] for e in events if e["ph"] == "X" and e["pid"] in decode) == prefill.makespan // 1000


def test_ranks_that_differ_have_lanes_of_their_own() -> None:
    for timeline in timelines(graph()):
        classes = rank_classes(timeline)
        assert [c.names for c in classes] == [("GPU 0", "GPU 1"), ("GPU 2", "GPU 3")]


def test_arrows_have_two_ends_and_an_id_each(events: list[dict[str, Any]]) -> None:
    """A phase and rank: 2·3 layers have a dispatch and a combine, 2 micro-batches a send: 8; 2 ranks, 2 phases: 32."""
    starts = {e["id"]: (e["name"], e["cat"]) for e in events if e["ph"] == "s"}
    ends = {e["id"]: (e["name"], e["cat"]) for e in events if e["ph"] == "f"}
    assert starts == ends
    assert len(starts) == 32


def test_a_slice_says_what_it_is(events: list[dict[str, Any]]) -> None:
    """The first dispatch: 4,096 bytes of each rank in a group of two, in layer 0 of micro-batch 0."""
    dispatch = next(e for e in events if e["ph"] == "X" and e["name"] == "dispatch" and e["pid"] > 1)
    assert dispatch["cat"] == "communication"
    told = dispatch["args"]
    assert (told["operator"], told["group_size"]) == ("dispatch of tokens to their experts", 2)
    assert (told["bytes"], told["layer"], told["micro_batch"], told["step"]) == (4096, 0, 0, 0)


def test_a_real_trace_processor_drops_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with TraceProcessor(path) as processor:
        assert processor.query(DROPPED) == []
        assert processor.query("select count(*) as n from flow") == [{"n": 32}]
        assert processor.query(MISNESTED) == []
        names = processor.query("select name from process where name is not null order by upid")
        assert [one["name"] for one in names[:2]] == ["critical path", "prefill · stage 0 · GPUs 0-1"]
        (row,) = processor.query(
            "select sum(dur) as n from slice where name = 'experts' and category != 'critical path'"
        )
        assert row["n"] == 2 * 2 * 3 * (5000 + 7000)


PLAN = """model mixtral-8x7b {{ layers 4 }}
cluster h100-sxm x 8 {{ slow 3 by 20 % }}
workload {{ batch 16 prompt 512 output 8 routing {routing} }}
strategy a = {strategy}
"""


@pytest.mark.parametrize("routing", ["uniform", "zipf 1"])
@pytest.mark.parametrize(
    "strategy",
    ["pp 2 [micro 4] < ep 4 >", "pp 2 < tp 2 > | ep 4", "ep 8", "prefill < ep 4 > | decode < pp 2 < tp 2 > >"],
)
def test_where_the_time_goes_sums_up_to_the_shares(strategy: str, routing: str) -> None:
    """Stretches follow each other over the phase, or one interval of decode, and each kind has its share of it."""
    (checked,) = check(Source("plan.moe", PLAN.format(strategy=strategy, routing=routing))).checked
    for timeline in checked.priced.timelines or ():
        assert all(one.end == other.start for one, other in pairwise(timeline.breakdown))
        assert timeline.breakdown[-1].end - timeline.breakdown[0].start == timeline.interval
        for kind in ("compute", "memory", "communication", "bubble"):
            spent = sum(one.end - one.start for one in timeline.breakdown if one.spending == kind)
            assert spent / timeline.interval == pytest.approx(getattr(timeline.shares, kind), abs=1e-9)


def test_three_steps_of_decode_are_whole() -> None:
    """Each step runs every micro-batch on every stage once, and step 2 follows step 1 by the steady-state interval."""
    text = PLAN.format(strategy="pp 2 [micro 4] < ep 4 >", routing="uniform")
    (checked,) = check(Source("plan.moe", text)).checked
    assert checked.priced.timelines is not None
    prefill, decode = checked.priced.timelines
    assert (prefill.steps, decode.steps) == (1, 3)
    starts: defaultdict[int, list[int]] = defaultdict(list)
    for run in decode.shown():
        if run.stage == 0 and run.first_layer == 0:
            starts[run.step].append(int(run.start(0, 0).min()))
    assert [len(one) for one in starts.values()] == [4, 4, 4]
    assert {b - a for a, b in zip(starts[1], starts[2], strict=True)} == {decode.interval}


def test_counters_are_what_the_memory_model_says(tmp_path: Path) -> None:
    """Cache of `ep 8`: 2 sequences a rank, 4 layers, 8 KV heads of 128, keys and values, 2 bytes: 65,536 bytes a token.

    After prefill 512 tokens of each. In decode 512 and half of 8 output tokens, in blocks of 16: 528. The total is what
    `memory` holds beside the cache and activations, and those.
    """
    text = PLAN.format(strategy="ep 8", routing="uniform")
    (checked,) = check(Source("plan.moe", text)).checked
    priced = checked.priced
    assert priced.graph is not None
    assert priced.timelines is not None
    assert priced.assessment.memory is not None
    (pool,) = priced.assessment.memory.pools
    path = tmp_path / "trace.json"
    path.write_bytes(b"".join(trace_json(Traced(checked.plan, priced.graph, priced.timelines, memory=(pool,)))))
    query = "select max(value) as n from counter c join process_counter_track k on c.track_id = k.id where name glob "
    with TraceProcessor(path) as processor:
        sizes = processor.query(
            "select max(value) as n from counter c join process_counter_track k on c.track_id = k.id "
            "join process p using (upid) where k.name glob 'KV cache *(GB)' and value > 0 "
            "group by p.name order by p.name desc"
        )
        assert [row["n"] * 1e9 for row in sizes] == pytest.approx([2 * 512 * 16384, 2 * 528 * 16384], abs=0.5)
        (total,) = processor.query(query + "'memory in use *(GB)'")
        (links,) = processor.query(query + "'sent within the node*(GB/s)'")
    stays = sum(size for part, size in pool.max_parts.items() if part in ("weights", "communication", "reserve"))
    assert total["n"] * 1e9 == pytest.approx(stays + 2 * 512 * 16384 + pool.max_parts[MemoryPart.ACTIVATIONS], abs=4)
    assert 0 < links["n"] <= 450


def test_a_second_is_a_second(events: list[dict[str, Any]]) -> None:
    """As a guard of the test's own reading: times of the file are nanoseconds here."""
    (prefill, decode) = timelines(graph())
    last = max(e["ts"] + e["dur"] for e in events if e["ph"] == "X")
    assert last == (prefill.makespan + decode.makespan) * 10**9 // PICOSECONDS
