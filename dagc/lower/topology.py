"""Where the ranks of a team sit, and what a group of them spans.

Turns global ranks into the node (NVLink domain) of each, and a layout's groups into the `Groups` of a collective.
Ranks fill nodes in order. Vectorised over ranks and groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dagc.degrees import AxisKind
from dagc.ops.groups import Groups
from dagc.plan.layout import Layout, Ranks

GroupCache = dict[object, Groups]
"""Groups by the pattern of ranks on nodes, the layout and the axes along which members differ."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The node of each rank of a team, shape (width,).

    The groups of a layout are worked out once for each pattern of ranks on nodes, and kept in `known`.
    """

    nodes: Ranks
    known: GroupCache = field(default_factory=dict[object, Groups], repr=False)
    pattern: bytes = field(init=False, repr=False)
    """Equal for two teams of consecutive ranks that share nodes in the same way."""

    def __post_init__(self) -> None:
        """The pattern, which is asked for often."""
        object.__setattr__(self, "pattern", (self.nodes - self.nodes[0]).tobytes())

    @property
    def width(self) -> int:
        """Ranks of the team."""
        return int(self.nodes.shape[0])

    def layout_groups(self, layout: Layout, axes: tuple[AxisKind, ...]) -> Groups:
        """Groups of the ranks of a layout that differ in some axes only."""
        key = self.pattern, axes, tuple([(factor.axis, factor.degree) for factor in layout.factors])
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self.groups(layout.groups(axes))
        return found

    def groups(self, members: Ranks) -> Groups:
        """Groups of local ranks, shape (groups, size), with the nodes over which each spreads."""
        nodes = np.sort(self.nodes[members], axis=1)
        starts = np.ones(nodes.shape, dtype=bool)
        starts[:, 1:] = nodes[:, 1:] != nodes[:, :-1]
        column = np.arange(nodes.shape[1], dtype=np.int64)
        run_start = np.maximum.accumulate(np.where(starts, column, 0), axis=1)
        fullest = (column - run_start + 1).max(axis=1)
        return Groups(members, starts.sum(axis=1, dtype=np.int64), fullest.astype(np.int64))

    def peers(self, other: Placement) -> Groups:
        """Groups of one rank each, whose peers are all of `other`: one node only when both teams share that node."""
        together = bool(np.all(other.nodes == self.nodes[0])) and bool(np.all(self.nodes == self.nodes[0]))
        return self._single(np.full(self.width, 1 if together else 2, dtype=np.int64))

    def opposite(self, other: Placement) -> Groups:
        """Groups of one rank each, whose peer is the rank of the same number of `other`."""
        return self._single(np.where(self.shares_nodes(other), 1, 2).astype(np.int64))

    def shares_nodes(self, other: Placement) -> npt.NDArray[np.bool_]:
        """Whether each rank is on the node of the rank of the same number of `other`."""
        return self.nodes == other.nodes

    def _single(self, nodes: Ranks) -> Groups:
        members = np.arange(self.width, dtype=np.int64).reshape(-1, 1)
        return Groups(members, nodes, np.ones(self.width, dtype=np.int64))


def place(ranks: Ranks, gpus_per_node: int, known: GroupCache | None = None) -> Placement:
    """The placement of global ranks on nodes of `gpus_per_node`."""
    return Placement(ranks // gpus_per_node, {} if known is None else known)
