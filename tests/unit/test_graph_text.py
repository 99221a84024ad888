"""The canonical text of a graph."""

from __future__ import annotations

from dagc.graph.text import to_text
from dagc.lower.lower import lower
from dagc.plan.workload import Workload
from tests.unit.lowering_plans import DENSE, folded, layout, plan, service


def test_the_text_of_a_small_graph_opens_as_said() -> None:
    """3 sequences in two micro-batches of 2 and 1, over dp 2; hidden 64: lookup moves 4 + 2·64·2 bytes a token."""
    graph = lower(plan(service(layout(dp=2), None, 2), model=DENSE, workload=Workload(3, 4, 2), node=2))
    lines = to_text(graph).splitlines()
    assert lines[:10] == [
        "graph replicas=1",
        "phase main prefill",
        "  micro-batches 1 x 2, 1 x 1 sequences",
        "  team 0: main stage 0 ranks 0-1",
        "  team 1: main stage 1 ranks 2-3",
        "  program size 0 stage 0 teams 0: embedding x 1; dense x 3 from layer 0; pipeline.send x 1",
        "  program size 0 stage 1 teams 1: pipeline.receive x 1; dense x 2 from layer 3; head x 1",
        "  program size 1 stage 0 teams 0: embedding.2 x 1; dense.2 x 3 from layer 0; pipeline.send.2 x 1",
        "  program size 1 stage 1 teams 1: pipeline.receive.2 x 1; dense.2 x 2 from layer 3; head.2 x 1",
        "  template embedding -> %0",
    ]
    assert lines[10] == "    %0 = embedding.lookup embedding(input) : bf16[t=4/dp, m=64] memory=1040"
    assert "    %0 = embedding.lookup embedding(input) : bf16[t=4/dp, m=64] memory=0..1040(sum 1040)" in lines


def test_the_same_plan_has_the_same_text() -> None:
    assert to_text(lower(folded())) == to_text(lower(folded()))
