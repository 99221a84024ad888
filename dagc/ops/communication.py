"""What communications have in common: groups of ranks, bytes by rank, and how their price follows from these.

A communication names the algorithms that may carry it (`algorithms`); the fastest does. `dagc.cost.collectives` asks
for all groups of one size at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from math import ceil
from typing import ClassVar, NamedTuple

import numpy as np

from dagc.catalog.calibration import Work
from dagc.degrees import AxisKind
from dagc.ops.fabric import Chosen, Fabric
from dagc.ops.groups import Groups
from dagc.ops.load import Load
from dagc.ops.network import ByGroup, GroupSpread, TransferTime
from dagc.ops.op import Category, Lane, Op, OpKind
from dagc.ops.ring import ring


class Pattern(StrEnum):
    """How the members of a group exchange data."""

    ALL_REDUCE = "all_reduce"
    ALL_GATHER = "all_gather"
    REDUCE_SCATTER = "reduce_scatter"
    ALL_TO_ALL = "all_to_all"
    SEND = "send"
    RECEIVE = "receive"


class Leg(StrEnum):
    """Which way rows go: from the ranks that hold tokens to those that hold experts, or back."""

    DISPATCH = "dispatch"
    COMBINE = "combine"


class Matching(StrEnum):
    """Which send a receive matches.

    `STAGE`: the send of the previous stage for the same micro-batch, rank r with rank r. `TEMPLATE`: node
    `partner` of the same template, on another team; it has started when the last rank of that team has. `STEP`:
    the send of the last stage in the previous decode step, rank r with rank r.
    """

    STAGE = "stage"
    TEMPLATE = "template"
    STEP = "step"


class CollectiveType(IntEnum):
    """What a collective is in Chakra's schema (`CollectiveCommType` of mlcommons/chakra `et_def.proto`)."""

    ALL_REDUCE = 0
    ALL_GATHER = 2
    ALL_TO_ALL = 6
    REDUCE_SCATTER = 7


class Sent(NamedTuple):
    """Bytes that each rank sends over the link inside a node and over the network, shaped like the load."""

    link: Load
    network: Load


class Algorithm(NamedTuple):
    """Seconds that an algorithm takes, and the coefficients that they follow from."""

    terms: TransferTime
    chosen: Chosen


@dataclass(frozen=True, eq=False)
class Communication(Op):
    """An exchange of data between the ranks of groups.

    `bytes` by rank: all-reduce, the buffer; all-gather, the gathered result; reduce-scatter, the input; all-to-all,
    all that a rank sends, what it keeps included; send and receive, the message. `axes` names the group. `matching` and
    `partner` are those of a receive. `leg` where rows of tokens for experts are what is sent.
    """

    axes: tuple[AxisKind, ...]
    groups: Groups
    bytes: Load
    matching: Matching | None = field(default=None, kw_only=True)
    partner: int | None = field(default=None, kw_only=True)

    category = Category.COMMUNICATION
    lane = Lane.COMMUNICATION
    work = Work.COMMUNICATION
    keeps = "m"
    pattern: ClassVar[Pattern]
    leg: ClassVar[Leg | None] = None
    is_message: ClassVar[bool] = False
    """Whether groups are single ranks that each send to, or receive from, ranks of another stage or team."""
    passes: ClassVar[int] = 1
    """How often a rank sends its bytes but for a member's part."""

    @property
    def parameters(self) -> object:
        """What its price depends on beside its class and its groups' size and `figures`; a part of a key."""
        return None

    @property
    def shares(self) -> Load:
        """What each rank receives, relative to the other members of its group."""
        return np.ones(1)

    def figures(self, fabric: Fabric) -> tuple[ByGroup, ...]:
        """Inputs of its formula by group, (groups,) or (copies, groups); first the bytes of the busiest sender."""
        return (most_bytes(self.bytes, self.groups),)

    @abstractmethod
    def algorithms(self, sizes: Sequence[ByGroup], spread: GroupSpread, fabric: Fabric) -> list[Algorithm]:
        """What may carry it and all of its class, group size and parameters, of figures by row and group."""

    @abstractmethod
    def sent(self, merges: bool) -> Sent:
        """What each rank sends by kind of link; `merges`: kernels like DeepEP's carry dispatch and combine."""


@dataclass(frozen=True, eq=False)
class Collective(Communication):
    """A communication of whole groups, by NCCL's ring unless it says otherwise.

    A rank sends (n-1)/n of its bytes, `passes` times.
    """

    chakra: ClassVar[CollectiveType]

    family = OpKind.COLLECTIVE

    def algorithms(self, sizes: Sequence[ByGroup], spread: GroupSpread, fabric: Fabric) -> list[Algorithm]:
        """A ring."""
        chosen = fabric.chosen(f"{self.name}/nccl")
        return [Algorithm(ring(chosen.values, sizes[0], spread, fabric.wires, self.passes), chosen)]

    def sent(self, merges: bool) -> Sent:
        """Round a ring of n hops, of which as many as the group has nodes cross the network."""
        size, nodes = np.full(1, float(self.groups.size)), self.groups.nodes_by_rank
        moved = self.passes * self.bytes * (size - 1) / size
        across = np.where(nodes > 1, nodes / size, 0.0)
        return Sent(moved * (1 - across), moved * across)

    def comm_size(self, most: float) -> int:
        """Chakra's `comm_size` of a group whose member with most has so many bytes: what a rank holds or sends.

        A byte for each member is the least: a replay sends parts of it, and never ends with one of none.
        """
        return max(self.groups.size, ceil(most))


def most_bytes(load: Load, groups: Groups) -> ByGroup:
    """Bytes of the member with most, shape (groups,) or (copies, groups); one column where all ranks have the same."""
    if load.shape[-1] == 1:
        return load
    if groups.members.size == groups.size == load.shape[-1]:
        return load.max(axis=-1, keepdims=True)
    return load[..., groups.members].max(axis=-1)


def mean_bytes(load: Load, groups: Groups) -> ByGroup:
    """Bytes of a member in the mean, in the same shapes."""
    return load if load.shape[-1] == 1 else load[..., groups.members].mean(axis=-1)
