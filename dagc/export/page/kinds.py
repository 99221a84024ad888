"""Kinds of operators as the page distinguishes them: a tone each, the same in all its parts."""

from __future__ import annotations

from enum import StrEnum

from dagc.graph.graph import Pattern
from dagc.graph.ops import Category


class OperatorKind(StrEnum):
    """What an operator is part of, or how it communicates."""

    ATTENTION = "attention"
    EXPERTS = "experts"
    OTHER = "other computation"
    ROUTING = "routing"
    EXCHANGE = "dispatch and combine"
    COLLECTIVE = "other collectives"
    TRANSFER = "send and receive"

    @property
    def css(self) -> str:
        """The class of its elements."""
        return f"k{KINDS.index(self)}"


KINDS = tuple(OperatorKind)

_STREAMS = {"a", "b"}
"""First parts of keys where two micro-batches are interleaved."""


def kind_of(key: str, category: Category, pattern: Pattern | None = None) -> OperatorKind:
    """The kind of an operator by the parts of its key (`moe.experts.up`)."""
    parts = [part for part in key.split(".") if part not in _STREAMS]
    if category is Category.COMMUNICATION:
        if {"dispatch", "combine"} & set(parts):
            return OperatorKind.EXCHANGE
        return OperatorKind.TRANSFER if pattern in (Pattern.SEND, Pattern.RECEIVE) else OperatorKind.COLLECTIVE
    if category is Category.ROUTING:
        return OperatorKind.ROUTING
    if "experts" in parts:
        return OperatorKind.EXPERTS
    return OperatorKind.ATTENTION if parts[0] == "attention" else OperatorKind.OTHER
