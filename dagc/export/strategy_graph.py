"""A compiled strategy as a networkx graph, and as GraphML, which graph programs read.

Turns the node-link data of `graph.json` into either. GraphML has plain values only: what is inside another value is
named with a dot (`layers.first`), lists are JSON, and what is unknown is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import networkx as nx
import orjson

from dagc.export.graph_json import to_node_link
from dagc.export.typesetting import printable
from dagc.graph.graph import Graph
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline

if TYPE_CHECKING:
    StrategyGraph = nx.DiGraph[str]
else:
    StrategyGraph = nx.DiGraph

_package: Any = nx
"""Not all of the package has types."""

Plain = str | int | float | bool


def strategy_graph(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> StrategyGraph:
    """Nodes, edges and attributes of `graph.json`, by the identity of the node; `graph` has what is said of all."""
    data = to_node_link(plan, graph, timelines)
    made: StrategyGraph = nx.DiGraph()
    made.graph.update(data["graph"])
    for node in data["nodes"]:
        made.add_node(node["id"], **{key: value for key, value in node.items() if key != "id"})
    made.add_edges_from((edge["source"], edge["target"], {"kind": edge["kind"]}) for edge in data["edges"])
    return made


def graphml_bytes(plan: Plan, graph: Graph, timelines: tuple[Timeline, ...]) -> bytes:
    """The same as a GraphML file, UTF-8."""
    of = strategy_graph(plan, graph, timelines)
    flat: StrategyGraph = nx.DiGraph()
    flat.graph.update(_plain(of.graph))
    flat.add_nodes_from((printable(node), _plain(values)) for node, values in of.nodes.items())
    flat.add_edges_from((printable(a), printable(b), _plain(values)) for (a, b), values in of.edges.items())
    stream = BytesIO()
    _package.write_graphml_xml(flat, stream, named_key_ids=True)
    return stream.getvalue() + b"\n"


def _plain(values: Mapping[str, Any]) -> dict[str, Plain]:
    return dict(pair for key, value in values.items() for pair in _named(key, value))


def _named(name: str, value: Any) -> Iterable[tuple[str, Plain]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        for key, one in cast("Mapping[str, Any]", value).items():
            yield from _named(f"{name}.{key}", one)
    elif isinstance(value, list):
        yield name, printable(orjson.dumps(value).decode())
    else:
        yield name, printable(value) if isinstance(value, str) else value
