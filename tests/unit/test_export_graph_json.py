"""The graph as data: networkx reads it back, the schema holds, and figures are those of the graph.

The small graph (see `export_graphs`) has 8 nodes in stage 0 and 8 in stage 1, in two phases: 32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import networkx as nx
import pytest

import dagc.export
from dagc.export.graph_json import graph_bytes, to_node_link
from tests.unit.export_graphs import graph, plan, timelines

SCHEMA = Path(dagc.export.__file__).parent / "schemas" / "graph.schema.json"


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    built = graph()
    return to_node_link(plan(), built, timelines(built))


def by_id(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["id"]: node for node in data["nodes"]}


def test_networkx_reads_back_the_same_acyclic_graph(data: dict[str, Any]) -> None:
    read = nx.node_link_graph(data, edges="edges")
    assert read.is_directed()
    assert nx.is_directed_acyclic_graph(read)
    assert list(read.nodes) == [node["id"] for node in data["nodes"]]
    assert set(read.edges) == {(edge["source"], edge["target"]) for edge in data["edges"]}
    assert len(data["edges"]) == read.number_of_edges()
    assert read.number_of_nodes() == 32


def test_schema(data: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(data)


def test_an_unknown_field_is_refused_by_the_schema(data: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    wrong = {**data, "nodes": [{**data["nodes"][0], "extra": 1}]}
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def test_edges_of_each_kind(data: dict[str, Any]) -> None:
    kinds = {(edge["source"], edge["target"]): edge["kind"] for edge in data["edges"]}
    moe = "prefill/0/stage0/1:moe"
    assert kinds[f"{moe}/router", f"{moe}/dispatch"] == "data"
    assert kinds["prefill/0/stage0/0:embedding/embedding", f"{moe}/attention"] == "sequence"
    assert kinds["prefill/0/stage0/2:send/send", "prefill/0/stage1/0:receive/receive"] == "transfer"
    assert not any(a.startswith("prefill") and b.startswith("decode") for a, b in kinds)


def test_uneven_work_is_the_fullest_rank_and_the_sum(data: dict[str, Any]) -> None:
    """Ranks do 1000 and 1400 FLOP in 5 and 7 us: 1400 at most, 2400 in all, 7 us until the slower is done."""
    experts = by_id(data)["decode/0/stage1/1:moe/experts"]
    assert (experts["flops_per_rank"], experts["flops_total"]) == (1400.0, 2400.0)
    assert experts["seconds"] == 7e-6
    assert experts["layers"] == {"first": 2, "count": 1}


def test_a_communication_has_its_group_and_message(data: dict[str, Any]) -> None:
    dispatch = by_id(data)["prefill/0/stage0/1:moe/dispatch"]
    assert (dispatch["group_size"], dispatch["bytes_per_rank"], dispatch["bytes_total"]) == (2, 4096.0, 8192.0)
    assert dispatch["micro_batches"] == 2
    assert dispatch["on_critical_path"]


def test_the_place_in_the_plan_is_told(data: dict[str, Any]) -> None:
    """`ep 2` begins at character 17 of the text, which is column 8 of line 2."""
    assert data["nodes"][0]["span"] == {
        "source": "plan.moe", "line": 2, "column": 8, "end_line": 2, "end_column": 12, "text": "ep 2",
    }  # fmt: skip


def test_bytes_are_json_and_stable() -> None:
    built = graph()
    first, second = (graph_bytes(plan(), built, timelines(built)) for _ in range(2))
    assert first == second
    assert json.loads(first)["schema_version"] == 1
