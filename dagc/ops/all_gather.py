"""All-gather: every member gets the parts of all of them, by a ring (`dagc.ops.ring`)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from dagc.ops.communication import Collective, CollectiveType, Pattern


@dataclass(frozen=True, eq=False)
class AllGather(Collective):
    """`bytes` is the gathered result."""

    name = "all_gather"
    title = "all-gather"
    pattern = Pattern.ALL_GATHER
    chakra = CollectiveType.ALL_GATHER

    def comm_size(self, most: float) -> int:
        """Chakra counts the shard of a rank."""
        return max(1, ceil(most / self.groups.size))
