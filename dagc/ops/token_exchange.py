"""Dispatch of tokens to experts and combine of their results: an all-to-all, or messages to experts in another pool.

By kernels like DeepEP's: a token goes to `top` experts; what is sent of it for one of them is a row. n ranks on k
nodes, l of them in a node, T tokens a rank. The ranks of a group end together, when the busiest has all: `fullest` is
the largest of what a rank sends or receives as a multiple of the mean. Under skewed routing that is the rank of the
most popular experts.

Low latency: one row a choice, straight to the expert's rank, over the link inside a node and by RDMA across:

    τ        = fullest · T · top · row · max((l-1)/n / (share · link),  (n-l)/n / (network_share · network))
    latency  = launch + log2(k) · hop

Normal: a row a node over the network, to the rank of the same number there, which forwards it to each rank of its node
that needs it. With choices at random a token reaches D(r) = r (1 - (1 - 1/r)^top) of r equal places, so

    far      = D(nodes) (k-1)/k          rows a token sends over the network
    near     = D(ranks)                  rows over links, what a rank keeps included
    τ        = fullest · T row · joined(far / (network_share · network),  near (l-1)/l / (share · link),
                                        (near + far) / (sms · sm_rate))
    latency  = launch + log2(k) · hop

The three limits are adapters, links, and what `sms` streaming multiprocessors copy, at `sm_rate` bytes/s each (inside
one node `sm_rate_inside`); `joined` is the slowest, somewhat more where two are about as slow. Routing limited to few
groups of experts reaches only the nodes that those lie on: r is then at most so many. On more than `calm_nodes` nodes
the network's share is `contended_share`, where measurements show that many senders to one node hold each other up. A
rank f times as popular as the mean gets a token with chance 1 - (1 - f/n)^top, so normal kernels feel skew less.

Where an engine gathers tokens instead, every rank of the group has all of them, by an all-gather, computes what its
experts add to each, and a reduce-scatter sums the results (`TokenGather`, `TokenScatter`).

By NCCL, all-to-all between all members at once, of S bytes a member (what it keeps included):

    τ        = max((l-1)/n · S / (share · link),  (n-l)/n · S / (network_share · network)) + S/n / (own · link)
    latency  = launch + (l-1) · step + hop, the latter where there are several nodes

The messages to all peers are in flight at once, and those to other nodes add one `hop`.

Sources: the kernels of deepseek-ai/DeepEP @ dd758caf; routing limited to nodes in the DeepSeek-V3 report (2024),
section 2.1.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dagc.ops.all_gather import AllGather
from dagc.ops.communication import Algorithm, Collective, CollectiveType, Leg, Pattern, Sent, mean_bytes, most_bytes
from dagc.ops.fabric import Fabric
from dagc.ops.load import Load
from dagc.ops.message import Outgoing, Receive
from dagc.ops.network import ByGroup, Coefficients, GroupSpread, TransferTime, Wires, joined, pipelined
from dagc.ops.op import OpKind
from dagc.ops.reduce_scatter import ReduceScatter

SMS = 20.0
"""Streaming multiprocessors of normal kernels where nothing else is known: what DeepEP takes by default."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What groups exchange: mean bytes of all rows of a rank, choices a token, nodes that its choices lie on at most.

    `source` and `target` are by group (and copy) what the busiest rank has as a multiple of the mean, on the side of
    the tokens and on that of the experts.
    """

    load: ByGroup
    top: int
    nodes: ByGroup
    source: ByGroup
    target: ByGroup


TokenFormula = Callable[[Coefficients, Tokens, GroupSpread, Wires], TransferTime]
"""Coefficients, tokens, spread and wires to seconds."""


def low_latency(given: Coefficients, tokens: Tokens, spread: GroupSpread, wires: Wires) -> TransferTime:
    """Low-latency kernels: rows by RDMA, straight to their rank."""
    near = (spread.local - 1) / spread.size / (given["share"] * wires.link)
    far = (spread.size - spread.local) / spread.size / (given["network_share"] * wires.network)
    latency = given["launch"] + np.log2(spread.nodes) * given["hop"]
    fullest = np.maximum(tokens.source, tokens.target)
    return TransferTime(fullest * tokens.load * np.maximum(near, far), latency)


def normal(given: Coefficients, tokens: Tokens, spread: GroupSpread, wires: Wires) -> TransferTime:
    """Normal kernels: a row a node, forwarded inside it."""
    reached = np.minimum(spread.nodes, tokens.nodes)
    far = distinct(reached, tokens.top) * (spread.nodes - 1) / spread.nodes
    near = distinct(reached * spread.local, tokens.top)
    rows = np.maximum(tokens.source, _merged(tokens, spread.size)) * tokens.load / tokens.top
    calm = spread.nodes <= given.get("calm_nodes", np.inf)
    reachable = np.where(calm, given["network_share"], given.get("contended_share", 1.0))
    limits = [far / (reachable * wires.network)]
    limits.append(near * (spread.local - 1) / spread.local / (given["share"] * wires.link))
    if "sm_rate" in given:
        rate = np.where(spread.nodes > 1, given["sm_rate"], given["sm_rate_inside"])
        limits.append((near + far) / (given.get("sms", SMS) * rate))
    return TransferTime(rows * joined(*limits), given["launch"] + np.log2(spread.nodes) * given["hop"])


def _merged(tokens: Tokens, ranks: ByGroup) -> ByGroup:
    """Distinct tokens that reach the most popular rank, as a multiple of the mean."""
    chance = np.minimum(tokens.target / ranks, 1.0)
    return (1.0 - (1.0 - chance) ** tokens.top) / (1.0 - (1.0 - 1.0 / ranks) ** tokens.top)


def distinct(places: ByGroup, top: int) -> ByGroup:
    """How many of so many equal places `top` choices at random reach: expected occupancy."""
    return places * (1.0 - (1.0 - 1.0 / np.maximum(places, 1.0)) ** top)


def all_to_all(given: Coefficients, load: ByGroup, spread: GroupSpread, wires: Wires) -> TransferTime:
    """All members send a part to each other, by NCCL."""
    near = (spread.local - 1) / spread.size * load / (given["share"] * wires.link)
    far = (spread.size - spread.local) / spread.size * load / (given["network_share"] * wires.network)
    own = load / spread.size / (given["own"] * wires.link) if "own" in given else 0.0
    latency = given["launch"] + (spread.local - 1) * given["step"] + (spread.nodes > 1) * given["hop"]
    return TransferTime(pipelined(np.maximum(near, far) + own, given["ramp"]), latency)


class ExchangeKernel(StrEnum):
    """How tokens go to experts and results come back: by kernels of high throughput, or of low latency."""

    NORMAL = "normal"
    LOW_LATENCY = "low_latency"


_FORMULAS: Mapping[ExchangeKernel, TokenFormula] = {
    ExchangeKernel.NORMAL: normal,
    ExchangeKernel.LOW_LATENCY: low_latency,
}


@dataclass(frozen=True, slots=True)
class Choices:
    """How tokens choose experts: `top` each; limited to `top_groups` of `groups` equal groups of experts, 0 if not.

    A row is one token's vector on its way to one of the experts that it chose, or back. Routing that is limited to
    few groups reaches few nodes.
    """

    top: int
    groups: int = 0
    top_groups: int = 0

    def nodes(self, spread: ByGroup) -> ByGroup:
        """Nodes that the choices of a token lie on at most, of those that its group spreads over."""
        if self.groups and self.top_groups:
            return self.top_groups * np.maximum(1.0, spread / self.groups)
        return spread


@dataclass(frozen=True, eq=False)
class TokenExchange(Collective):
    """The all-to-all between the ranks of an expert group: rows of `row_bytes`, of which a rank receives `taken` bytes.

    Both `bytes` and `taken` count what a rank keeps.
    """

    taken: Load
    row_bytes: float
    kernel: ExchangeKernel
    choices: Choices

    pattern = Pattern.ALL_TO_ALL
    chakra = CollectiveType.ALL_TO_ALL
    family = OpKind.EXCHANGE

    @property
    def parameters(self) -> tuple[ExchangeKernel, Choices]:
        """Kernel and choices."""
        return self.kernel, self.choices

    @property
    def shares(self) -> Load:
        """Bytes."""
        return self.taken

    def figures(self, fabric: Fabric) -> tuple[ByGroup, ...]:
        """By kernels like DeepEP's also the mean on the side of the tokens, and the bytes of the busiest receiver."""
        sent = most_bytes(self.bytes, self.groups)
        if fabric.custom is None:
            return (sent,)
        tokens = self.bytes if self.leg is Leg.DISPATCH else self.taken
        return sent, mean_bytes(tokens, self.groups), most_bytes(self.taken, self.groups)

    def algorithms(self, sizes: Sequence[ByGroup], spread: GroupSpread, fabric: Fabric) -> list[Algorithm]:
        """Kernels like DeepEP's, or NCCL's all-to-all. The side of the experts receives in a dispatch."""
        if fabric.custom is None:
            chosen = fabric.chosen("all_to_all/nccl")
            return [Algorithm(all_to_all(chosen.values, sizes[0], spread, fabric.wires), chosen)]
        sent, mean, received = sizes
        source, target = (sent, received) if self.leg is Leg.DISPATCH else (received, sent)
        some = np.where(mean > 0, mean, 1.0)
        tokens = Tokens(mean, self.choices.top, self.choices.nodes(spread.nodes), source / some, target / some)
        chosen = fabric.chosen(f"{self.leg}/{self.kernel}")
        return [Algorithm(_FORMULAS[self.kernel](chosen.values, tokens, spread, fabric.wires), chosen)]

    def sent(self, merges: bool) -> Sent:
        """By normal kernels a row goes once to each node, and from there to each rank that wants it."""
        local, nodes = self.groups.local_by_rank, self.groups.nodes_by_rank
        if not merges or self.kernel is not ExchangeKernel.NORMAL:
            size = np.full(1, float(self.groups.size))
            return Sent(self.bytes * (local - 1) / size, self.bytes * (size - local) / size)
        top, rows = self.choices.top, self.bytes / self.choices.top
        reached = np.minimum(nodes, self.choices.nodes(nodes))
        far = distinct(reached, top) * (nodes - 1) / nodes
        near = distinct(reached * local, top) * (local - 1) / local
        return Sent(rows * near, rows * far)


@dataclass(frozen=True, eq=False)
class Dispatch(TokenExchange):
    """Tokens to the ranks of their experts."""

    name = "dispatch"
    title = "dispatch of tokens to their experts"
    leg = Leg.DISPATCH


@dataclass(frozen=True, eq=False)
class Combine(TokenExchange):
    """Results back to the ranks of the tokens."""

    name = "combine"
    title = "combine of the experts' results"
    leg = Leg.COMBINE


@dataclass(frozen=True, eq=False)
class TokenSend(Outgoing):
    """Rows of tokens to the experts' pool or back, each of `row_bytes`."""

    row_bytes: float

    family = OpKind.EXCHANGE


@dataclass(frozen=True, eq=False)
class DispatchSend(TokenSend):
    """Tokens to the experts' pool."""

    name = Dispatch.name
    title = Dispatch.title
    leg = Leg.DISPATCH


@dataclass(frozen=True, eq=False)
class CombineSend(TokenSend):
    """Results back from it."""

    name = Combine.name
    title = Combine.title
    leg = Leg.COMBINE


@dataclass(frozen=True, eq=False)
class TokenReceive(Receive):
    """The other end of either."""

    family = OpKind.EXCHANGE


@dataclass(frozen=True, eq=False)
class TokenGather(AllGather):
    """All tokens of an expert group to all its ranks, in place of a dispatch; one row of `row_bytes` a token."""

    row_bytes: float

    title = "all-gather of tokens for their experts"
    leg = Leg.DISPATCH
    family = OpKind.EXCHANGE


@dataclass(frozen=True, eq=False)
class TokenScatter(ReduceScatter):
    """Sums of an expert group's results to the ranks of the tokens, in place of a combine."""

    row_bytes: float

    title = "reduce-scatter of the experts' results"
    leg = Leg.COMBINE
    family = OpKind.EXCHANGE


TRANSFERS = (TokenExchange, TokenSend, TokenGather, TokenScatter)
"""What sends rows of tokens."""
