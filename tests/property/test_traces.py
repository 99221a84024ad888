"""Traces of any legal plan: slices of a thread nest and those of operators do not overlap, arrows go forward and have
two ends, shares sum up, and no counter is below 0.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dagc.export.ranks import RankSelection
from dagc.export.trace.trace_json import trace_json
from dagc.export.trace.tracks import Traced
from tests.property.test_plan import LEGAL
from tests.property.test_replay import CLUSTERS, ENGINES, MODELS, MOST_RANKS, ROUTING, traced


def written(of: Traced, ranks: RankSelection | None) -> list[dict[str, Any]]:
    content = b"".join(trace_json(of, ranks))
    return json.loads(content, parse_float=lambda text: round(float(text) * 1000))["traceEvents"]


def checked_arrows(events: list[dict[str, Any]]) -> None:
    ends: dict[str, dict[int, int]] = {"s": {}, "f": {}}
    for event in events:
        if event["ph"] in ends:
            assert event["id"] not in ends[event["ph"]]
            ends[event["ph"]][event["id"]] = event["ts"]
    assert set(ends["f"]) == set(ends["s"])
    assert all(ends["s"][number] <= time for number, time in ends["f"].items())


def checked_nesting(slices: list[tuple[int, int]]) -> None:
    around: list[int] = []
    for start, end in sorted(slices, key=lambda one: (one[0], -one[1])):
        while around and around[-1] <= start:
            around.pop()
        assert not around or end <= around[-1]
        around.append(end)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(LEGAL, MODELS, ENGINES, CLUSTERS, ROUTING, st.integers(1, 40), st.booleans())
def test_traces_of_legal_plans_are_whole(
    strategy: str, model: str, engine: str, cluster: str, routing: str, batch: int, is_all: bool
) -> None:
    of = traced(
        f"model {model}\n{engine}cluster h100-sxm{cluster}\n"
        f"workload {{ batch {batch} prompt 16 output 3 routing {routing} }}\nstrategy a = {strategy}\n"
    )
    assume(of is not None and of.plan.deployment.gpus <= MOST_RANKS)
    if of is None:
        return
    events = written(of, RankSelection() if is_all else None)
    threads: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    nested: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] > 0
            frame = event["cat"] in ("phase", "step", "micro-batch", "stage", "layer")
            (nested if frame else threads)[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "C":
            assert all(value >= 0 for value in event["args"].values())
    for slices in threads.values():
        assert slices == sorted(slices)
        assert all(end <= start for (_, end), (start, _) in pairwise(slices))
    for thread, slices in nested.items():
        checked_nesting([*slices, *threads[thread]])
    checked_arrows(events)
    for timeline in of.timelines:
        total = sum(one.end - one.start for one in timeline.breakdown)
        for kind in ("compute", "memory", "communication", "bubble") if timeline.breakdown else ():
            spent = sum(one.end - one.start for one in timeline.breakdown if one.spending == kind)
            assert spent / total == pytest.approx(getattr(timeline.shares, kind), abs=1e-9)
