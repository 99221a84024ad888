"""Kinds of operators as the page distinguishes them: a tone each, the same in all its parts."""

from __future__ import annotations

from dagc.ops.op import OpKind

KINDS = tuple(OpKind)


def css(kind: OpKind) -> str:
    """The class of the elements of a kind."""
    return f"k{KINDS.index(kind)}"
