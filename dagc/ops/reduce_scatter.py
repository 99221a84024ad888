"""Reduce-scatter: every member gets its part of the sum over all of them, by a ring (`dagc.ops.ring`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dagc.ops.communication import Algorithm, Collective, CollectiveType, Pattern
from dagc.ops.fabric import Fabric
from dagc.ops.network import ByGroup, Spread
from dagc.ops.ring import gather


@dataclass(frozen=True, eq=False)
class ReduceScatter(Collective):
    """`bytes` is the input."""

    name = "reduce_scatter"
    title = "reduce-scatter"
    pattern = Pattern.REDUCE_SCATTER
    chakra = CollectiveType.REDUCE_SCATTER

    def algorithms(self, sizes: Sequence[ByGroup], spread: Spread, fabric: Fabric) -> list[Algorithm]:
        """NCCL's."""
        chosen = fabric.chosen("reduce_scatter/nccl")
        return [Algorithm(gather(chosen.values, sizes[0], spread, fabric.wires), chosen)]
