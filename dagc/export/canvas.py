"""DOT under construction: the graphviz package behind types.

Quotes what needs quoting; labels are the caller's, made by `dot_style`. It knows nothing of plans or graphs.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import graphviz  # pyright: ignore[reportMissingTypeStubs]

_package: Any = graphviz
"""The package has no types."""


def escape(text: str) -> str:
    """Text in which no backslash begins an escape and no bracket begins markup."""
    return str(_package.escape(text))


class Canvas:
    """A graph or one of its subgraphs, to add to. A subgraph is in the text once its `with` block ends."""

    def __init__(self, body: Any) -> None:
        self._body = body

    @property
    def source(self) -> str:
        """The DOT text."""
        return str(self._body.source)

    def attr(self, **attributes: str) -> None:
        """Attributes of this graph or cluster."""
        self._body.attr(**attributes)

    def node(self, name: str, **attributes: str) -> None:
        """A node."""
        self._body.node(name, **attributes)

    def edge(self, tail: str, head: str, **attributes: str) -> None:
        """An edge."""
        self._body.edge(tail, head, **attributes)

    @contextmanager
    def box(self, name: str | None = None) -> Generator[Canvas]:
        """A subgraph; a cluster when its name begins with `cluster`."""
        with self._body.subgraph(name=name) as inner:
            yield Canvas(inner)


def new_canvas(name: str, graph: Mapping[str, str], node: Mapping[str, str], edge: Mapping[str, str]) -> Canvas:
    """An empty directed graph with these defaults."""
    return Canvas(_package.Digraph(name, graph_attr=dict(graph), node_attr=dict(node), edge_attr=dict(edge)))
