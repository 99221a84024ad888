"""The gate that every exported trace must pass is itself seen to catch a bad one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.traceprocessor import DROPPED, TraceProcessor, TraceProcessorError


def trace(tmp_path: Path, *slices: dict[str, Any]) -> Path:
    """A Chrome trace of complete events on one thread, times in microseconds."""
    path = tmp_path / "trace.json"
    events = [{"ph": "X", "pid": 1, "tid": 1, "cat": "c"} | event for event in slices]
    path.write_text(json.dumps({"traceEvents": events}), encoding="utf-8")
    return path


def test_slices_come_back_in_nanoseconds(tmp_path: Path) -> None:
    path = trace(tmp_path, {"name": "a", "ts": 1, "dur": 2.5}, {"name": "b", "ts": 3.5, "dur": 1})
    with TraceProcessor(path) as processor:
        assert processor.query("select name, ts, dur from slice order by ts") == [
            {"name": "a", "ts": 1000, "dur": 2500},
            {"name": "b", "ts": 3500, "dur": 1000},
        ]
        assert processor.query(DROPPED) == []


def test_an_overlap_of_one_nanosecond_drops_the_later_slice_and_the_gate_tells(tmp_path: Path) -> None:
    path = trace(tmp_path, {"name": "a", "ts": 0, "dur": 2.001}, {"name": "b", "ts": 2, "dur": 2})
    with TraceProcessor(path) as processor:
        assert processor.query("select name from slice") == [{"name": "a"}]
        assert [row["value"] for row in processor.query(DROPPED)] == [1]


def test_strings_numbers_and_nothing_keep_their_types(tmp_path: Path) -> None:
    with TraceProcessor(trace(tmp_path, {"name": "a", "ts": 0, "dur": 1})) as processor:
        assert processor.query("select 'é' as s, 7 as i, 0.5 as f, null as n") == [
            {"s": "é", "i": 7, "f": 0.5, "n": None}
        ]


def test_an_engine_that_is_used_again_holds_nothing_of_the_trace_before(tmp_path: Path) -> None:
    """The first trace drops a slice: neither its slices nor that count are in the second."""
    with TraceProcessor(trace(tmp_path, {"name": "a", "ts": 0, "dur": 2.001}, {"name": "b", "ts": 2, "dur": 2})) as one:
        assert one.query(DROPPED) != []
    with TraceProcessor(trace(tmp_path, {"name": "c", "ts": 0, "dur": 1})) as other:
        assert other.query("select name from slice") == [{"name": "c"}]
        assert other.query(DROPPED) == []


def test_a_wrong_query_is_an_error_and_the_next_one_works(tmp_path: Path) -> None:
    with TraceProcessor(trace(tmp_path, {"name": "a", "ts": 0, "dur": 1})) as processor:
        with pytest.raises(TraceProcessorError, match="no such table: absent"):
            processor.query("select * from absent")
        assert processor.query("select 1 as one") == [{"one": 1}]


def test_a_file_that_is_no_trace_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"\x01\x02\x03" * 100)
    with pytest.raises(TraceProcessorError):
        TraceProcessor(path)


def test_an_engine_that_does_not_start_is_an_error_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.harness.traceprocessor._engine", lambda: tmp_path)
    with pytest.raises(TraceProcessorError, match=r"engine_bundle\.js"):
        TraceProcessor(trace(tmp_path, {"name": "a", "ts": 0, "dur": 1}))
