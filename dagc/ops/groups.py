"""Groups of the ranks of a team."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dagc.ops.lazy import lazy
from dagc.ops.load import WIDE, Load

Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Groups:
    """The partition of a team's local ranks over which a collective runs.

    `members` has shape (groups, size). `nodes` and `local` have shape (groups,): over how many nodes (NVLink
    domains) a group spreads, and how many of its members share the fullest of them. For sends and receives a
    group is one rank; then `nodes` is 1 when the peer is in the same node, else 2.
    """

    members: Ranks
    nodes: Ranks
    local: Ranks

    @property
    def size(self) -> int:
        """Members of one group."""
        return int(self.members.shape[1])

    @property
    def nodes_by_rank(self) -> Load:
        """Nodes of the group of each rank, shape (1,) where all groups have the same."""
        return self._by_rank(self.nodes)

    @property
    def local_by_rank(self) -> Load:
        """Members in the fullest node of the group of each rank, likewise."""
        return self._by_rank(self.local)

    def _by_rank(self, figures: Ranks) -> Load:
        if bool((figures == figures[0]).all()):
            return np.full(1, float(figures[0]))
        ranks = np.zeros(self.members.size)
        ranks[self.members] = figures[:, None]
        return ranks

    @lazy
    def key(self) -> object:
        """The partition as a part of a key; itself where it has more than `WIDE` ranks."""
        return self.content or self

    @lazy
    def content(self) -> tuple[object, ...] | None:
        """The partition as a part of a key; None where it has more than `WIDE` ranks to compare."""
        if self.members.size > WIDE:
            return None
        return (self.members.shape, *[array.tobytes() for array in (self.members, self.nodes, self.local)])
