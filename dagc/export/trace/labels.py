"""What the slices of a trace are called, and what all slices of one name and origin say beside their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from dagc.export.titles import group_size, shape_text
from dagc.graph.graph import Node
from dagc.graph.priced import NodeCost
from dagc.source import Span

MOST_LETTERS = 60
"""Of a place in the plan, as a slice names it."""


@dataclass(frozen=True, slots=True)
class SliceLabel:
    """Name and category of a slice, and arguments that do not differ between its executions, at least one."""

    name: str
    category: str
    arguments: tuple[tuple[str, str | int], ...]


@dataclass(slots=True)
class SliceLabels:
    """All labels so far, numbered from 0 in their order."""

    numbers: dict[SliceLabel, int] = field(default_factory=dict[SliceLabel, int])

    def number(self, label: SliceLabel) -> int:
        """The number of a label."""
        return self.numbers.setdefault(label, len(self.numbers))


def operator_label(node: Node, cost: NodeCost, category: str | None = None) -> SliceLabel:
    """The label of an operator: named for its key in the graph; `category` is that of the operator if not given."""
    shape = shape_text(node) or str(node.output)
    arguments: list[tuple[str, str | int]] = [
        ("operator", node.op.title), ("bound", cost.bound.value), ("shape", shape),
    ]  # fmt: skip
    if node.communication:
        arguments.append(("group_size", group_size(node)))
    if node.span is not None:
        arguments.append(("plan", span_text(node.span)))
    return SliceLabel(node.key, category or node.op.category.value, tuple(arguments))


def span_text(span: Span) -> str:
    """The place in the plan that an operator comes from: `8:24 ep 16`."""
    line, column = span.source.position(span.start)
    words = " ".join(span.text.split())
    return f"{line}:{column} {words if len(words) <= MOST_LETTERS else words[: MOST_LETTERS - 1] + '…'}"
