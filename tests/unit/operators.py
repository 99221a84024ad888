"""Operators for tests: communications by pattern, operators whose work is given, and the cost of one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.collectives import collective_costs
from dagc.cost.operators import NO_SLOWDOWN, operator_costs
from dagc.graph.priced import NodeCost
from dagc.ops.all_gather import AllGather
from dagc.ops.all_reduce import AllReduce
from dagc.ops.communication import Communication, Leg, Matching, Pattern
from dagc.ops.fabric import Fabric
from dagc.ops.groups import Groups
from dagc.ops.lazy import lazy
from dagc.ops.load import Load
from dagc.ops.message import Receive, Send
from dagc.ops.op import Computation, Op, OpKind, Setting, Sizes
from dagc.ops.reduce_scatter import ReduceScatter
from dagc.ops.token_exchange import Choices, Combine, Dispatch, ExchangeKernel


@dataclass(frozen=True, eq=False)
class Work(Computation):
    """So many FLOPs and bytes by rank, priced by a regime of these names or by the roofline."""

    flops_given: Sequence[float]
    bytes_given: Sequence[float]
    dtype_given: Dtype = Dtype.BF16
    regime_names: tuple[str, ...] = ()
    shared: Sizes = ()
    by_rank: dict[str, Load] = field(default_factory=dict)

    name = "work"
    title = "work"

    @property
    def kind(self) -> OpKind:
        return OpKind.OTHER

    @property
    def dtype(self) -> Dtype:
        return self.dtype_given

    @lazy
    def flops(self) -> Load:
        return np.array(self.flops_given, dtype=np.float64)

    @lazy
    def memory_bytes(self) -> Load:
        return np.array(self.bytes_given, dtype=np.float64)

    @lazy
    def content(self) -> tuple[object, ...] | None:
        """Given work is compared with no other."""
        return None

    def regimes(self, setting: Setting) -> tuple[str, ...]:
        return self.regime_names

    def sizes(self, setting: Setting) -> Sizes:
        return self.shared

    @lazy
    def inputs(self) -> dict[str, Load]:
        return self.by_rank


NO_WORK = Work([0.0], [0.0])


def given(base: type[Op], load: Load, shape: tuple[tuple[str, int], ...], dtype: Dtype = Dtype.BF16) -> Op:
    """An operator of a class with this load as FLOPs, as bytes and as rows, and no other parameters."""
    members = {"rows": load, "flops": load, "memory_bytes": load, "shape": shape, "dtype": dtype, "kind": OpKind.OTHER}
    return object.__new__(type(base.__name__, (base,), members))


def operator_cost(
    op: Computation,
    device: DeviceSpec,
    activation: Dtype,
    slowdown: Load = NO_SLOWDOWN,
    *,
    tunes_expert_shards: bool = True,
) -> NodeCost:
    """Cost of one computation alone."""
    return operator_costs((op,), Setting(device, activation, tunes_expert_shards), {}, slowdown)[0]


def collective_cost(op: Communication, fabric: Fabric) -> NodeCost:
    """Cost of one communication alone."""
    return collective_costs((op,), fabric, {})[0]


_COLLECTIVES = {
    Pattern.ALL_REDUCE: AllReduce, Pattern.ALL_GATHER: AllGather, Pattern.REDUCE_SCATTER: ReduceScatter,
    Pattern.SEND: Send,
}  # fmt: skip


def communication(
    pattern: Pattern, over: Groups, load: Load, axes=(), matching: Matching | None = None
) -> Communication:
    """A communication of a pattern; an all-to-all is a dispatch."""
    if pattern is Pattern.RECEIVE:
        return Receive(axes, over, load, matching=matching)
    if pattern is Pattern.ALL_TO_ALL:
        return exchange(Leg.DISPATCH, over, load, load, axes=axes)
    return _COLLECTIVES[pattern](axes, over, load)


def exchange(
    leg: Leg,
    over: Groups,
    sent: Load,
    taken: Load,
    kernel: ExchangeKernel = ExchangeKernel.NORMAL,
    choices: Choices = Choices(1),  # noqa: B008
    row_bytes: float = 1.0,
    axes=(),
) -> Dispatch | Combine:
    """Dispatch or combine."""
    kind = Dispatch if leg is Leg.DISPATCH else Combine
    return kind(axes, over, sent, taken, row_bytes, kernel, choices)
