"""A strategy that would take more memory than there is, is refused before it is priced, with a bound that holds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

import dagc
from dagc import memory_limit
from dagc.driver import strategies
from dagc.graph.graph import PhaseGraph
from dagc.plan.plan import Plan

BLOCKS = {"model": "qwen3-next-80b-a3b", "cluster": "h100-sxm x 4096", "workload": "batch 8 prompt 1001 output 8"}


def test_a_strategy_beyond_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size, its memory and their diagnostics stay: half the model on each GPU does not fit."""
    monkeypatch.setattr(memory_limit, "default_limit", lambda: 100_000_000)
    plan = dagc.compile("moe < ep 2 > ; attn < dp 100000 >", **BLOCKS)
    assert {one.code.code for one in plan.diagnostics if one.is_error} == {"G101", "M101", "X303"}
    found = next(one for one in plan.diagnostics if one.code.code == "X303")
    assert found.span is not None and "would take" in found.message and "the limit is 100.0 MB" in found.message
    assert not [one for one in dagc.compile("moe < ep 8 > ; attn < dp 8 >", **BLOCKS).diagnostics if one.is_error]


def test_the_bound_is_above_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """4,096 ranks whose sequences differ: what Python and numpy hold at most from the graph on, by their own count."""
    bound, before = 0, 0

    def lowered(phases: Sequence[PhaseGraph], plan: Plan) -> None:
        nonlocal bound, before
        bound = strategies.ENTRY_BYTES * sum(
            len(phase.teams[node.team].ranks) for phase in phases for one in phase.templates for node in one.nodes
        )
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()

    monkeypatch.setattr(strategies, "beyond_memory", lowered)
    tracemalloc.start()
    dagc.compile("moe < ep 2 > ; attn < dp 4096 >", **BLOCKS)
    taken = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert bound / 4 < taken < bound


def test_a_control_group_limits_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory_limit, "_CONTROL_GROUP", tmp_path)
    assert memory_limit.available_memory() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit.available_memory() > 2_000_000
