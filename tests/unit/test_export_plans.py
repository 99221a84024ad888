"""Exports of compiled plans: one of each form of deployment, through every format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import networkx as nx
import pytest

import dagc.export
from dagc.driver.check import check
from dagc.export.graph_json import to_node_link
from dagc.export.renderers import render
from dagc.export.trace.trace_json import trace_json
from dagc.export.trace.tracks import Traced
from dagc.export.view_model import services
from dagc.export.views.dot import to_dot
from dagc.export.views.draw import view_of
from dagc.export.views.strategy import StrategyView
from dagc.export.views.view import Distance
from dagc.graph.graph import Graph
from dagc.plan.plan import Plan
from dagc.results.metrics import measure
from dagc.schedule.timeline import Timeline
from dagc.source import Source
from tests.harness.traceprocessor import DROPPED, MISNESTED, TraceProcessor

SCHEMA = Path(dagc.export.__file__).parent / "schemas" / "graph.schema.json"
EVEN = ("", "uniform")
UNEVEN = ("{ slow 1 by 10 % }", "zipf 1")
PLANS = {
    "pipeline": ("deepseek-v3 { layers 9 }", 64, "pp 4 < ep 16 ; tp 2 >", EVEN),
    "one stage": ("mixtral-8x7b", 8, "ep 8", EVEN),
    "pools": ("mixtral-8x7b", 8, "pp 2 < tp 2 > | ep 4", EVEN),
    "phases": ("mixtral-8x7b", 16, "prefill < pp 2 < ep 4 > > | decode < ep 8 >", EVEN),
    "overlap": ("gpt-oss-20b", 8, "ep 8 [overlap 2]", EVEN),
    "uneven": ("deepseek-v3 { layers 9 }", 12, "ep 6 ; tp 4", EVEN),
    "dense": ("llama-3.1-70b", 8, "pp 2 < tp 4 >", EVEN),
    "skewed pipeline": ("deepseek-v3 { layers 9 }", 16, "pp 4 < ep 4 ; tp 2 >", UNEVEN),
    "skewed pools": ("mixtral-8x7b", 8, "pp 2 < tp 2 > | ep 4", UNEVEN),
    "skewed phases": ("mixtral-8x7b", 16, "prefill < pp 2 < ep 4 > > | decode < ep 8 >", UNEVEN),
    "skewed overlap": ("gpt-oss-20b", 8, "ep 8 [overlap 2]", UNEVEN),
    "two classes": ("mixtral-8x7b", 8, "dp 2 < ep 4 >", UNEVEN),
}
Compiled = tuple[Plan, Graph, tuple[Timeline, ...]]


def compiled(form: str) -> Compiled:
    model, gpus, strategy, (slow, routing) = PLANS[form]
    workload = f"{{ batch 64 prompt 512 output 64 routing {routing} }}"
    facts = f"model {model}\ncluster h200-sxm x {gpus} {slow}\nworkload {workload}\n"
    text = f"{facts}strategy a = {strategy}\n"
    outcome = check(Source("plan.moe", text))
    (checked,) = outcome.checked
    priced = checked.priced
    assert priced.graph is not None
    assert priced.timelines is not None
    return checked.plan, priced.graph, priced.timelines


@pytest.fixture(params=list(PLANS))
def plan(request: pytest.FixtureRequest) -> Compiled:
    return compiled(request.param)


def _scene(of: Compiled) -> StrategyView:
    planned, _, timelines = of
    return StrategyView(*of, measure(planned, timelines))


def edges_of_kind(data: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    return [(edge["source"], edge["target"]) for edge in data["edges"] if edge["kind"] == kind]


def test_data_is_an_acyclic_graph_of_the_schema(plan: Compiled) -> None:
    data = to_node_link(*plan)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(data)
    read = nx.node_link_graph(data, edges="edges")
    assert nx.is_directed_acyclic_graph(read)
    assert read.number_of_nodes() == len(data["nodes"])
    assert read.number_of_edges() == len(data["edges"])


def test_the_trace_loses_nothing(plan: Compiled, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(b"".join(trace_json(Traced(*plan))))
    events = json.loads(path.read_bytes())["traceEvents"]
    with TraceProcessor(path) as processor:
        assert processor.query(DROPPED) == []
        assert processor.query(MISNESTED) == []
        slices = processor.query("select count(*) as n from slice")
        assert slices == [{"n": sum(event["ph"] == "X" for event in events)}]
        assert processor.query("select count(*) as n from flow") == [{"n": sum(event["ph"] == "s" for event in events)}]


@pytest.mark.parametrize("distance", list(Distance))
def test_the_picture_is_drawn_and_small(plan: Compiled, distance: Distance) -> None:
    view = view_of(_scene(plan), distance)
    rendering, problems = render(to_dot(view))
    assert problems == ()
    assert rendering is not None
    assert rendering.svg.count('class="node"') < 150
    assert to_dot(view) == to_dot(view_of(_scene(plan), distance))


@pytest.mark.parametrize("distance", [Distance.DEPLOYMENT, Distance.STAGE])
def test_stages_read_from_left_to_right(distance: Distance) -> None:
    rendering, _ = render(to_dot(view_of(_scene(compiled("pipeline")), distance)))
    assert rendering is not None
    found = re.findall(r'<text[^>]* x="([\d.]+)"[^>]*>(stages? [^<]*)</text>', rendering.svg)
    at = {title.split("\xa0")[0].split(",")[0]: float(x) for x, title in found}
    in_order = [at["stage 0"], at["stages 1–2"], at["stage 3"]]
    assert in_order == sorted(in_order)


def test_pipeline_messages_join_stages_and_decode_steps_do_not_close_a_loop() -> None:
    """Three borders between four stages, in two phases: six transfers; the sampled token waits for the next step."""
    data = to_node_link(*compiled("pipeline"))
    assert len(edges_of_kind(data, "transfer")) == 6
    loops = [node["previous_step"] for node in data["nodes"] if node["previous_step"]]
    assert [re.sub(r"/\d+:.*/", "/", loop) for loop in loops] == ["decode/0/stage3/token.send"]


def test_the_cache_joins_the_phases() -> None:
    """Two prefill stages feed one decode stage: two edges into the KV-cache transfer, two out of it."""
    data = to_node_link(*compiled("phases"))
    cache = edges_of_kind(data, "cache")
    assert [(a.split("/")[0], b.split("/")[0]) for a, b in cache].count(("prefill", "handover")) == 2
    assert [(a.split("/")[0], b.split("/")[0]) for a, b in cache].count(("handover", "decode")) == 2


def test_phases_on_their_own_gpus_are_services_of_their_own() -> None:
    _, graph, timelines = compiled("phases")
    assert [service.name for service in services(graph, timelines)] == ["prefill", "handover", "decode"]
