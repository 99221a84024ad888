"""The trace of requests: every stage of each as a slice, accepted by the engine that readers use.

Times by hand are those of `test_requests_csv`: a token of a step with prompts takes 2 ms, a decode step 1 ms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dagc.export.trace.requests import request_trace
from dagc.simulate.load import LoadRun
from dagc.simulate.policy import Policy
from tests.harness.load_runs import MILLISECOND, load_run, requests
from tests.harness.traceprocessor import DROPPED, TraceProcessor

SLICES = """
select p.name as process, t.name as thread, s.name, s.ts / 1000 as begin, s.dur / 1000 as length, s.depth, s.arg_set_id
from slice s join thread_track k on s.track_id = k.id join thread t using (utid) join process p using (upid)
order by t.tid, s.ts
"""
"""Times in microseconds."""


def _read(run: LoadRun, directory: Path, most: int, *queries: str) -> list[list[dict[str, Any]]]:
    file = directory / "requests.pftrace"
    file.write_bytes(b"".join(request_trace(run, most)))
    with TraceProcessor(file) as processor:
        return [processor.query(sql) for sql in (DROPPED, *queries)]


def test_a_request_waits_is_read_and_decoded(tmp_path: Path) -> None:
    run = load_run("ep 8", requests([0, 1, 30], [3, 2, 1], [4, 2, 1]), [Policy()], (1, 3))
    dropped, slices = _read(run, tmp_path, 10, SLICES)
    assert dropped == []
    assert {one["depth"] for one in slices} == {0}
    found = [(one["thread"], one["name"], one["begin"], one["length"]) for one in slices]
    assert found == [
        ("what is shown", "all 3 requests", 0, 32000),
        ("steps", "prefill", 0, 6000), ("steps", "prefill and decode", 6000, 7000),
        ("steps", "decode", 13000, 1000), ("steps", "decode", 14000, 1000), ("steps", "prefill", 30000, 2000),
        ("request 0", "prefill", 0, 6000), ("request 0", "decode", 6000, 9000),
        ("request 1", "queued", 1000, 5000), ("request 1", "prefill", 6000, 7000), ("request 1", "decode", 13000, 1000),
        ("request 2", "prefill", 30000, 2000),
    ]  # fmt: skip


def test_a_request_moves_from_prefill_to_decode(tmp_path: Path) -> None:
    """Prefill ends at 6 ms, the transfer takes 1 ms, 3 steps of decode follow; a replica's steps are its own."""
    policies = [Policy(transfer_base=MILLISECOND), Policy(replicas=2, ranks=2)]
    made = requests([0, 1, 30], [3, 2, 1], [4, 2, 1])
    dropped, slices = _read(
        load_run("prefill < ep 8 > | decode < dp 2 < ep 8 > >", made, policies), tmp_path, 10, SLICES
    )
    assert dropped == []
    first = [
        (one["process"], one["name"], one["begin"], one["length"]) for one in slices if one["thread"] == "request 0"
    ]
    place = "requests of decode · replica 0 · rank 0"
    assert first == [
        (place, "prefill", 0, 6000), (place, "KV-cache transfer", 6000, 1000),
        (place, "decode with its queue", 7000, 3000),
    ]  # fmt: skip
    steps = {one["process"] for one in slices if one["thread"] == "steps"}
    assert steps == {"prefill · replica 0", "decode · replica 0"}


def test_arguments_and_counters_are_those_of_the_run(tmp_path: Path) -> None:
    """While request 0 is read, request 1 comes and waits: at the end of that step one waits and a block is held."""
    run = load_run("ep 8", requests([0, 1, 30], [3, 2, 1], [4, 2, 1]), [Policy()], (1, 3))
    arguments = (
        "select a.key, a.int_value as value from slice s join args a using (arg_set_id) "
        "where s.name = 'prefill' and s.category = 'steps' and s.ts = 0 and a.int_value is not null"
    )
    counters = (
        "select t.name, c.ts / 1000000 as ms, c.value from counter c join process_counter_track t on c.track_id = t.id "
        "order by t.name, c.ts"
    )
    _, found, values = _read(run, tmp_path, 10, arguments, counters)
    assert {one["key"].removeprefix("debug."): one["value"] for one in found} == {
        "steps": 1, "sequences": 0, "prompt_tokens": 3, "waiting": 1, "blocks": 1,
    }  # fmt: skip
    running = [(one["ms"], one["value"]) for one in values if one["name"] == "running sequences"]
    assert running == [(0, 0), (6, 1), (13, 2), (14, 1), (15, 0), (30, 0), (32, 0)]


@pytest.mark.parametrize("most", [1, 7])
def test_a_trace_says_how_many_requests_it_leaves_out(most: int, tmp_path: Path) -> None:
    """Slices of steps end with the last request that is shown."""
    count = 40
    run = load_run("ep 8", requests(list(range(count)), [2] * count, [3] * count), [Policy(most_running=2, ranks=3)])
    note = "select name, dur from slice where category = 'note'"
    tracks = "select count(*) as count from thread where name glob 'request *'"
    last = int(run.simulated.last[:most].max())
    late = f"select count(*) as count from slice where category = 'steps' and ts >= {last // 1000}"
    dropped, notes, threads, after = _read(run, tmp_path, most, note, tracks, late)
    assert dropped == []
    assert notes == [{"name": f"the first {most} of {count} requests", "dur": last // 1000}]
    assert (threads, after) == ([{"count": most}], [{"count": 0}])


def test_the_same_run_gives_the_same_bytes() -> None:
    run = load_run("ep 8", requests([0, 1], [3, 2], [4, 2]), [Policy()])
    assert b"".join(request_trace(run)) == b"".join(request_trace(run))
