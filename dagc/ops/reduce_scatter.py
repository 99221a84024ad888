"""Reduce-scatter: every member gets its part of the sum over all of them, by a ring (`dagc.ops.ring`)."""

from __future__ import annotations

from dataclasses import dataclass

from dagc.ops.communication import Collective, CollectiveType, Pattern


@dataclass(frozen=True, eq=False)
class ReduceScatter(Collective):
    """`bytes` is the input."""

    name = "reduce_scatter"
    title = "reduce-scatter"
    pattern = Pattern.REDUCE_SCATTER
    chakra = CollectiveType.REDUCE_SCATTER
