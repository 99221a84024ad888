"""The trace of a plan that is too large for a viewer: what is kept, what it says of the rest, and how to have all."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dagc.driver import compile as exports
from dagc.driver.check import check
from dagc.export.chakra.rank_programs import nodes_of_ranks, rank_programs
from dagc.export.requested import Request, TraceFormat, requested_files, sizes
from dagc.export.trace import excerpt as excerpts
from dagc.export.trace.excerpt import excerpt
from dagc.export.trace.perfetto import perfetto_trace
from dagc.export.trace.trace_json import trace_json
from dagc.export.trace.tracks import Traced
from dagc.source import Source
from tests.harness import shell
from tests.unit.test_export_ranks import OPERATORS, held, traced

STRATEGY = "pp 2 [micro 16] < ep 4 >"


def events(content: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(b"".join(content))["traceEvents"]
    return found


def threads(found: list[dict[str, Any]]) -> dict[int, str]:
    return {event["tid"]: event["args"]["name"] for event in found if event["name"] == "thread_name"}


def of_lanes(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in found if event.get("cat") in OPERATORS]


def with_frames(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Slices of operators and those around them."""
    lanes = {event["tid"] for event in of_lanes(found)}
    return [event for event in found if event["ph"] == "X" and event["tid"] in lanes]


def test_first_and_last_micro_batches_are_kept_and_what_is_said_is_what_is_there() -> None:
    """Of 16 micro-batches of equal size, a quarter of the slices are 4: two at each end, in prefill and each step.

    Those around operators are counted in, a few more than there are: so there is room for a tenth more.
    """
    of = traced(STRATEGY, batch=64)
    every = events(trace_json(of))
    whole, most = of_lanes(every), len(with_frames(every)) * 11 // 40
    shown = excerpt(of, None, most)
    assert shown is not None
    found = events(trace_json(of, None, shown))
    kept = of_lanes(found)
    assert len(with_frames(found)) <= most
    assert (shown.written, shown.whole) == (len(kept), len(whole))
    assert {event["args"]["micro_batch"] for event in kept} == {0, 1, 14, 15}
    assert shown.text.endswith("micro-batches 0-1 and 14-15 of 16")
    by_name = Counter((event["name"], event["args"]["micro_batch"], event["ts"]) for event in kept)
    assert all(by_name[key] <= 1 for key in by_name)
    expected = [event for event in whole if event["args"]["micro_batch"] in {0, 1, 14, 15}]
    assert sorted((e["ts"], e["dur"], e["name"]) for e in kept) == sorted(
        (e["ts"], e["dur"], e["name"]) for e in expected
    )


def test_the_critical_path_is_there_from_end_to_end_and_kept_micro_batches_have_its_operators() -> None:
    of = traced(STRATEGY, batch=64)
    found, whole = events(trace_json(of, None, excerpt(of, None, 500))), events(trace_json(of))
    for phase, timeline in zip(("prefill", "decode"), of.timelines, strict=True):
        (thread,) = (tid for tid, name in threads(found).items() if name == phase)
        path = [event for event in found if event.get("cat") == "critical path" and event["tid"] == thread]
        assert all(round(a["ts"] + a["dur"], 3) == b["ts"] for a, b in pairwise(path))
        assert sum(event["dur"] for event in path) == pytest.approx(timeline.makespan / 1e6, abs=0.002)
        spelt = [event for event in path if "operator" in event["args"]]
        assert spelt
        assert len(spelt) < len(path)
        before = [event for event in whole if event.get("cat") == "critical path" and event["tid"] == thread]
        of_kept = [
            event for event in before if event["args"]["micro_batch"] in {e["args"]["micro_batch"] for e in spelt}
        ]
        assert [(e["name"], e["ts"]) for e in spelt] == [(e["name"], e["ts"]) for e in of_kept]


def test_the_shares_are_those_of_the_whole_trace() -> None:
    of = traced(STRATEGY, batch=64)

    def shares(found: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
        spent: Counter[tuple[str, str]] = Counter()
        for event in found:
            if event.get("cat") == "share":
                spent[threads(found)[event["tid"]], event["name"]] += event["dur"]
        return dict(spent)

    whole = shares(events(trace_json(of)))
    assert shares(events(trace_json(of, None, excerpt(of, None, 500)))) == pytest.approx(whole, abs=0.05)


def test_one_micro_batch_is_written_in_any_case() -> None:
    of = traced("ep 4", batch=4)
    assert excerpt(of, None, 2 * excerpts.slices(of, None)) is None
    least = excerpt(of, None, 1)
    assert least is not None
    assert least.micro_batches == 1
    assert len(of_lanes(events(trace_json(of, None, least)))) == least.written


def test_kinds_of_ranks_are_left_out_only_where_four_micro_batches_do_not_fit() -> None:
    """Uneven experts: every rank of eight is of a kind of its own, and alone has an eighth of the slices."""
    facts = (
        "model mixtral-8x7b { layers 2 }\ncluster h200-sxm\nworkload { batch 16 prompt 64 output 4 routing zipf 1 }\n"
    )
    (checked,) = check(Source("plan.moe", f"{facts}strategy a = pp 1 [micro 8] < ep 8 >\n")).checked
    priced = checked.priced
    assert priced.graph is not None
    assert priced.timelines is not None
    of = Traced(checked.plan, priced.graph, priced.timelines)
    whole = len(with_frames(events(trace_json(of))))
    half, quarter = excerpt(of, None, whole * 11 // 20), excerpt(of, None, whole // 3)
    assert half is not None
    assert (half.micro_batches, half.ranks) == (4, 8)
    assert quarter is not None
    assert (quarter.micro_batches, quarter.ranks) == (4, 4)
    assert quarter.text.endswith(", 4 groups of equivalent GPUs for each stage")
    assert len(of_lanes(events(trace_json(of, None, quarter)))) == quarter.written


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [STRATEGY, "pp 2 [micro 4] < tp 2 > | ep 4"])
def test_both_formats_hold_the_same_excerpt(strategy: str, tmp_path: Path) -> None:
    of = traced(strategy, "mixtral-8x7b { layers 2 }", 16)
    shown = excerpt(of, None, 300)
    (tmp_path / "a.json").write_bytes(b"".join(trace_json(of, None, shown)))
    (tmp_path / "a.pftrace").write_bytes(b"".join(perfetto_trace(of, None, shown)))
    in_json = held(tmp_path / "a.json", "args.")
    assert in_json == held(tmp_path / "a.pftrace", "debug.")
    assert [one["thread"] for one in in_json["slices"] if one["category"] == "note"] == ["what is left out"]


def test_the_trace_says_what_is_left_out_and_an_option_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    of = traced(STRATEGY, batch=64)
    monkeypatch.setattr("dagc.export.requested.MOST_SLICES", 500)
    files, _, notes = exports._data(of, None)  # pyright: ignore[reportPrivateUsage]
    trace = files["trace.json"]
    assert not isinstance(trace, bytes)
    document = json.loads(b"".join(trace))
    (note,) = notes
    told = document["otherData"]
    assert f"{told['slices']:,} of {told['slices_of_all']:,} slices" in note
    assert "`--trace-slices all`" in note
    (slice_,) = (event for event in document["traceEvents"] if event.get("cat") == "note")
    assert slice_["name"] == told["excerpt"]
    assert len(of_lanes(document["traceEvents"])) == told["slices"]
    assert len(with_frames(document["traceEvents"])) <= 500
    every = Request(slices=10**9)
    assert b"".join(requested_files(of, every)[0]["trace.json"]) == b"".join(trace_json(of))
    assert sizes(of, every) == ()


def test_large_files_say_their_size_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    of = traced(STRATEGY, batch=64)
    monkeypatch.setattr("dagc.export.requested.WORTH_SAYING", 1000)
    for style, each in ((TraceFormat.JSON, 440), (TraceFormat.KINETO, 170)):
        (said,) = sizes(of, Request(excerpts.RankSelection(), style))
        found = excerpts.slices(of, excerpts.RankSelection())
        assert said.endswith(f"{found:,} slices of operators, about {each * found / 1e6:,.1f} MB")
    _, said = sizes(of, Request(slices=500, expand=True))
    assert "the graph rank by rank" in said


@pytest.mark.parametrize("strategy", [STRATEGY, "pp 2 < tp 2 | ep 4 >", "prefill < ep 4 > | decode < ep 2 >"])
def test_nodes_of_ranks_are_counted_as_they_are_walked(strategy: str) -> None:
    """All but what of the second step runs before the end of the first."""
    for timeline in traced(strategy, batch=16).timelines:
        counted = nodes_of_ranks(timeline.priced)
        walked = [sum(one.count for one in program.stretches) for program in rank_programs(timeline.priced)]
        assert list(counted) == walked


def test_the_nodes_and_edges_of_a_path_are_those_that_it_visits() -> None:
    for strategy in (STRATEGY, "pp 2 < tp 2 > | ep 4", "pp 3 [micro 8] < ep 4 [overlap 2] >"):
        for timeline in traced(strategy, batch=32).timelines:
            places = [(timeline.runs[slot.run], slot.copy, slot.node) for slot in timeline.path]
            nodes = {(run.size, run.stage, run.position, node) for run, _, node in places}
            edges = {
                (run.size, run.stage, run.position, node, other)
                for (run, copy, node), (after, again, other) in pairwise(places)
                if run is after and copy == again
            }
            assert timeline.path.nodes == nodes
            assert timeline.path.edges == edges


@pytest.mark.parametrize("arguments", [("--trace-slices", "many"), ("--trace-slices", "5", "--trace-format", "kineto")])
def test_what_is_no_count_is_a_usage_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = shell.run_dagc("compile", "-e", "ep 8", *arguments, cwd=tmp_path)
    assert done.status == 2
    assert "--trace-slices" in done.output
