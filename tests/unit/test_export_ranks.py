"""Traces of chosen ranks, in both formats, and the graph rank by rank, for plans of several forms."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import networkx as nx
import pytest

from dagc import export
from dagc.driver.check import check
from dagc.export.expanded_rows import slots
from dagc.export.ranks import RankSelection, parse_ranks
from dagc.export.requested import Request, TraceFormat, requested_files
from dagc.export.titles import phase_names
from dagc.export.trace.perfetto import perfetto_trace
from dagc.export.trace.trace_json import trace_json
from dagc.export.trace.tracks import Traced
from dagc.source import Source
from tests.harness.traceprocessor import DROPPED, MISNESTED, TraceProcessor

ALL = RankSelection()
OPERATORS = ("compute", "communication", "routing")
"""Categories of slices on the lanes that are no frames of others."""

SLICES = (
    "select ts, dur, depth, s.name as name, category, t.name as thread, p.name as process, {arguments} "
    "from slice s join thread_track k on s.track_id = k.id join thread t using (utid) join process p using (upid) "
    "order by process, thread, ts, depth"
)


def traced(strategy: str, model: str = "mixtral-8x7b { layers 3 }", batch: int = 8) -> Traced:
    facts = f"model {model}\ncluster h200-sxm\nworkload {{ batch {batch} prompt 64 output 4 }}\n"
    (checked,) = check(Source("plan.moe", f"{facts}strategy a = {strategy}\n")).checked
    priced = checked.priced
    assert priced.graph is not None
    assert priced.timelines is not None
    assert priced.assessment.memory is not None
    held = priced.assessment.memory.pools
    return Traced(checked.plan, priced.graph, priced.timelines, priced.others, held)


ARGUMENTS = (
    "operator", "bound", "shape", "group_size", "plan", "phase", "stage", "micro_batch", "step", "layer", "rank",
    "flops", "bytes",
)  # fmt: skip
COUNTERS = (
    "select p.name as process, k.name as name, ts, round(value, 9) as value from counter c "
    "join process_counter_track k on c.track_id = k.id join process p using (upid) order by 1, 2, 3"
)
ARROWS = (
    "select a.ts as tail, a.dur as tail_dur, a.name as tail_name, b.ts as head, b.dur as head_dur, b.name as head_name "
    "from flow f join slice a on a.id = f.slice_out join slice b on b.id = f.slice_in order by 1, 2, 3, 4, 5, 6"
)


PATHS = (
    "select t.name as phase, sum(s.dur) as ns from slice s join thread_track k on s.track_id = k.id "
    "join thread t using (utid) where s.category = 'critical path' group by t.tid order by t.tid"
)


def held(path: Path, prefix: str) -> dict[str, list[dict[str, Any]]]:
    """Slices with all arguments, counters and arrows, as the trace processor has them."""
    arguments = ", ".join(f"extract_arg(s.arg_set_id, '{prefix}{name}') as {name}" for name in ARGUMENTS)
    with TraceProcessor(path) as processor:
        assert processor.query(DROPPED) == []
        assert processor.query(MISNESTED) == []
        queries = {"slices": SLICES.format(arguments=arguments), "counters": COUNTERS, "arrows": ARROWS}
        return {name: processor.query(query) for name, query in queries.items()}


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("all", ()), ("3", ((3, 3),)), ("0-7", ((0, 7),)), (" 3, 5-6", ((3, 3), (5, 6)))],
)
def test_selections_are_read(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_ranks(text) == RankSelection(ranges)


@pytest.mark.parametrize("text", ["", "x", "7-3", "1,", "-1", "1-2-3"])
def test_what_is_no_selection_is_none(text: str) -> None:
    assert parse_ranks(text) is None


@pytest.mark.parametrize(
    "strategy",
    ["pp 2 < ep 4 ; tp 2 >", "pp 2 < tp 2 > | ep 4", "prefill < ep 4 > | decode < pp 2 < ep 2 > >", "dp 2 < ep 4 >"],
)
@pytest.mark.parametrize("ranks", [ALL, None], ids=["all", "default"])
def test_both_formats_hold_the_same(strategy: str, ranks: RankSelection | None, tmp_path: Path) -> None:
    of = traced(strategy, "mixtral-8x7b { layers 2 }", 4)
    (tmp_path / "a.json").write_bytes(b"".join(trace_json(of, ranks)))
    (tmp_path / "a.pftrace").write_bytes(b"".join(perfetto_trace(of, ranks)))
    in_json = held(tmp_path / "a.json", "args.")
    assert in_json == held(tmp_path / "a.pftrace", "debug.")
    assert len(in_json["slices"]) > 50
    assert len(in_json["counters"]) > 50
    assert len(in_json["arrows"]) > 0 or strategy == "dp 2 < ep 4 >"


def test_all_ranks_have_every_execution_that_takes_time() -> None:
    """Both replicas of `dp 2 < ep 4 >` are there: 8 ranks, and the same slices on each lane of a phase."""
    of = traced("dp 2 < ep 4 >")
    events = json.loads(b"".join(trace_json(of, ALL)))["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    ranks = {name.split(" ·")[0] for name in names.values() if name.startswith("GPU ")}
    assert sorted(ranks) == [f"GPU {rank}" for rank in range(8)]
    found = sum(e.get("cat") in OPERATORS for e in events)
    most = sum(t.steps * slots(t.priced.graph) * len(t.priced.graph.replicas) for t in of.timelines)
    assert most // 2 < found <= most


def test_a_selection_shows_its_ranks_only() -> None:
    events = json.loads(b"".join(trace_json(traced("dp 2 < ep 4 >"), RankSelection(((3, 4),)))))["traceEvents"]
    threads = {e["args"]["name"].split(" ·")[0] for e in events if e["name"] == "thread_name" and e["pid"] > 1}
    assert threads - {"micro-batches"} == {"GPU 3", "GPU 4"}


@pytest.mark.parametrize("ranks", [None, RankSelection(((0, 1),)), RankSelection(((2, 3),))])
def test_the_critical_path_of_each_phase_is_there_whatever_ranks_are_chosen(ranks: RankSelection | None) -> None:
    """Ranks 0 and 1 have no part in decode, ranks 2 and 3 none in prefill. A path is as long as its phase."""
    of = traced("prefill < pp 2 < tp 1 > > | decode < ep 2 >")
    events = json.loads(b"".join(trace_json(of, ranks)))["traceEvents"]
    threads = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    micros: dict[str, float] = {}
    for event in (e for e in events if e.get("cat") == "critical path"):
        phase = threads[event["tid"]].split(" · ")[0].replace("KV-cache transfer", "handover")
        micros[phase] = micros.get(phase, 0) + event["dur"]
    wanted = [timeline.makespan / 1e6 for timeline in of.timelines]
    assert micros == pytest.approx(dict(zip(phase_names(of.graph), wanted, strict=True)), abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [RankSelection(((0, 1),)), RankSelection(((2, 3),))])
def test_a_trace_of_one_phase_has_the_paths_of_all_in_both_formats(ranks: RankSelection, tmp_path: Path) -> None:
    of = traced("prefill < tp 2 > | decode < tp 2 >")
    wanted = [timeline.makespan / 1000 for timeline in of.timelines]
    for write, name in ((trace_json, "trace.json"), (perfetto_trace, "trace.pftrace")):
        (tmp_path / name).write_bytes(b"".join(write(of, ranks)))
        with TraceProcessor(tmp_path / name) as processor:
            assert processor.query(DROPPED) == []
            assert [row["ns"] for row in processor.query(PATHS)] == pytest.approx(wanted, abs=1)


@pytest.mark.slow
def test_the_trace_processor_reads_kernels_and_the_ends_of_the_trace(tmp_path: Path) -> None:
    """No slice of a rank's file is dropped, those of no length among them."""
    (_, content) = requested_files(
        traced("prefill < tp 2 > | decode < ep 2 >"),
        Request(RankSelection(((2, 2),)), TraceFormat.KINETO),
    )[0].popitem()
    data = b"".join(content)
    (tmp_path / "rank.json").write_bytes(data)
    with TraceProcessor(tmp_path / "rank.json") as processor:
        assert processor.query(DROPPED) == []
        (counted,) = processor.query("select count(*) as n, sum(dur = 0) as short, min(ts) as first from slice")
    assert counted == {"n": len(json.loads(data)["traceEvents"]), "short": 2, "first": 0}


def test_a_compressed_trace_is_the_same_and_replaces_the_default() -> None:
    of = traced("ep 4")
    files, problems = requested_files(of, Request(ALL, compressed=True))
    assert problems == ()
    assert list(files) == ["trace.json.gz"]
    packed = b"".join(files["trace.json.gz"])
    assert gzip.decompress(packed) == b"".join(trace_json(of, ALL))
    (name,) = requested_files(of, Request(trace_format=TraceFormat.PERFETTO))[0]
    assert name == "trace.pftrace"


def test_the_expanded_graph_is_acyclic_and_has_every_slot() -> None:
    of = traced("pp 2 < ep 2 >")
    files, _ = requested_files(of, Request(expand=True))
    data = json.loads(b"".join(files["graph.json"]))
    graph = nx.node_link_graph(data, edges="edges")
    assert nx.is_directed_acyclic_graph(graph)
    real = [node for node in data["nodes"] if not node["virtual"]]
    assert len(real) == sum(slots(t.priced.graph) for t in of.timelines)
    assert sorted({node["rank"] for node in real}) == [0, 1, 2, 3]
    assert graph.number_of_nodes() == len(data["nodes"])


@pytest.mark.parametrize("strategy", ["pp 2 < ep 2 >", "pp 2 < tp 2 > | ep 4", "prefill < ep 2 > | decode < ep 4 >"])
def test_the_expanded_graph_holds_to_its_schema(strategy: str) -> None:
    schema = json.loads((Path(export.__file__).parent / "schemas" / "graph-expanded.schema.json").read_text())
    files, _ = requested_files(traced(strategy), Request(expand=True))
    document = json.loads(b"".join(files["graph.json"]))
    jsonschema.validate(document, schema)
    del document["nodes"][0]["phase"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_the_expanded_graph_of_one_rank_is_connected_to_nothing_else() -> None:
    files, _ = requested_files(traced("pp 2 < ep 2 >"), Request(RankSelection(((1, 1),)), expand=True))
    data = json.loads(b"".join(files["graph.json"]))
    assert {node["rank"] for node in data["nodes"] if not node["virtual"]} == {1}
    known = {node["id"] for node in data["nodes"]}
    assert all(edge["source"] in known and edge["target"] in known for edge in data["edges"])


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    """All 4 ranks: every slot of a prefill and three decode steps, SIZE bytes each. Of 8, 4, 2 ranks, 2 are the most
    that fit.
    """
    of = traced("ep 4")
    prefill, decode = (slots(t.priced.graph) for t in of.timelines)
    found = prefill + 3 * decode
    files, (problem,) = requested_files(of, Request(ALL, limit=320 * found - 1))
    assert files == {}
    assert problem.code.code == "X301"
    assert f"{found:,} slots" in problem.message
    assert f"{320 * found / 1e6:,.1f} MB" in problem.message
    assert "`--ranks 0-1` fits" in problem.help[0]
    assert requested_files(of, Request(RankSelection(((0, 1),)), limit=320 * found - 1))[1] == ()
    assert requested_files(of, Request(ALL, limit=320 * found))[1] == ()


def test_the_expanded_graph_is_refused_too() -> None:
    _, (problem,) = requested_files(traced("ep 4"), Request(expand=True, limit=1000))
    assert problem.code.code == "X301"


def test_a_rank_that_is_not_there_is_named() -> None:
    _, (problem,) = requested_files(traced("ep 4"), Request(RankSelection(((0, 15),))))
    assert problem.code.code == "X302"
    assert "no rank 15" in problem.message


@pytest.mark.slow
def test_a_million_slices_load_without_a_dropped_one(tmp_path: Path) -> None:
    """Peak memory of the writer is a table of slices; the reader must take every one."""
    of = traced("pp 4 [micro 8] < ep 64 >", "deepseek-v3", 4096)
    for name, content in (("a.json", trace_json(of, ALL)), ("a.pftrace", perfetto_trace(of, ALL))):
        path = tmp_path / name
        with path.open("wb") as stream:
            stream.writelines(content)
        with TraceProcessor(path) as processor:
            assert processor.query(DROPPED) == []
            (row,) = processor.query("select count(*) as n from slice")
            assert row["n"] >= 1_000_000
