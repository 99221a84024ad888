"""A template under construction.

`add` turns one operator into a `Node` and returns its index. The builder sees to the order: by default a
node takes what the node before it yields, and starts after the last node of its team, so that computation and
communication of one micro-batch follow each other. It knows nothing of models or layouts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dagc.graph.graph import INPUT, Node, Template, Tensor
from dagc.ops.op import Op
from dagc.source import Span


@dataclass(slots=True)
class TemplateBuilder:
    """Nodes in program order. `span` is where nodes without a place of their own come from."""

    key: str
    span: Span
    nodes: list[Node] = field(default_factory=list[Node])
    _previous: dict[int, int] = field(default_factory=dict[int, int])

    def begun(self, key: str) -> TemplateBuilder:
        """Another template that begins as this one does."""
        return TemplateBuilder(key, self.span, list(self.nodes), dict(self._previous))

    @property
    def last(self) -> int:
        """The node added last, or the template's input."""
        return len(self.nodes) - 1 if self.nodes else INPUT

    def add(
        self,
        key: str,
        op: Op,
        output: Tensor,
        *,
        inputs: tuple[int, ...] | None = None,
        after: tuple[int, ...] | None = None,
        team: int = 0,
        fused_into: int | None = None,
        span: Span | None = None,
    ) -> int:
        """Add a node and return its index.

        `inputs` None: what was added last. `after` None: the last node of the same team, whatever its lane.
        """
        taken = (self.last,) if inputs is None else inputs
        order = self._order(team, taken) if after is None else after
        self._previous[team] = len(self.nodes)
        self.nodes.append(
            Node(
                key=key,
                op=op,
                team=team,
                inputs=taken,
                after=order,
                output=output,
                fused_into=fused_into,
                span=span or self.span,
            )
        )
        return self.last

    def template(self) -> Template:
        """The finished template of one stream: its last node is what it yields."""
        return Template(self.key, tuple(self.nodes), (self.last,))

    def _order(self, team: int, inputs: tuple[int, ...]) -> tuple[int, ...]:
        previous = self._previous.get(team)
        return () if previous is None or previous in inputs else (previous,)
