"""All-gather: every member gets the parts of all of them, by a ring (`dagc.ops.ring`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from dagc.ops.communication import Algorithm, Collective, CollectiveType, Pattern
from dagc.ops.fabric import Fabric
from dagc.ops.network import ByGroup, Spread
from dagc.ops.ring import gather


@dataclass(frozen=True, eq=False)
class AllGather(Collective):
    """`bytes` is the gathered result."""

    name = "all_gather"
    title = "all-gather"
    pattern = Pattern.ALL_GATHER
    chakra = CollectiveType.ALL_GATHER

    def algorithms(self, sizes: Sequence[ByGroup], spread: Spread, fabric: Fabric) -> list[Algorithm]:
        """NCCL's."""
        chosen = fabric.chosen("all_gather/nccl")
        return [Algorithm(gather(chosen.values, sizes[0], spread, fabric.wires), chosen)]

    def comm_size(self, most: float) -> int:
        """Chakra counts the shard of a rank."""
        return max(1, ceil(most / self.groups.size))
