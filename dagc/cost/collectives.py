"""Duration of an exchange: the formula of its pattern and backend, by group.

Turns a communication's bytes and groups into seconds by rank. Who carries it (`network.fabric` has the coefficients):

    all-reduce in one node       the engine's own kernel or NCCL, the faster one; NCCL alone with `collectives nccl`
    all-reduce across nodes,     NCCL
    all-gather, reduce-scatter,
    all-to-all, send, receive
    dispatch and combine         kernels like DeepEP's, normal in prefill, low-latency in decode; an all-to-all of NCCL
                                 with `collectives nccl`

Where a device states a `launch`, hosts launch one by one, and members of a group come to it `LAUNCHES_APART` of them
apart. A send and a receive wait for each other in the schedule instead.

Costs are by group, each member of a group has its group's, and S is that of the member with most. Loads by copy and
rank give costs by copy and rank. All groups run at once, each GPU with its share of the node's adapters. Not modelled:
contention with other exchanges and with computation.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from dagc.cost.duration import FREE, node_cost
from dagc.cost.exchange_text import Shown, exchange_source, exchange_text, outside
from dagc.cost.network import direct, experts, ring
from dagc.cost.network.custom import custom_all_reduce
from dagc.cost.network.fabric import Chosen, Fabric
from dagc.cost.network.terms import ByGroup, Formula, Spread, Terms, faster
from dagc.graph.graph import Communication, Exchange, Groups, Kernel, Leg, Load, Pattern
from dagc.graph.priced import Bound, NodeCost

_NCCL: dict[Pattern, tuple[str, Formula]] = {
    Pattern.ALL_REDUCE: ("all_reduce/nccl", ring.all_reduce),
    Pattern.ALL_GATHER: ("all_gather/nccl", ring.gather),
    Pattern.REDUCE_SCATTER: ("reduce_scatter/nccl", ring.gather),
    Pattern.ALL_TO_ALL: ("all_to_all/nccl", direct.all_to_all),
    Pattern.SEND: ("send/nccl", direct.message),
    Pattern.RECEIVE: ("send/nccl", direct.message),
}


_EXPERTS: dict[Kernel, experts.TokenFormula] = {Kernel.NORMAL: experts.normal, Kernel.LOW_LATENCY: experts.low_latency}


def collective_cost(communication: Communication, fabric: Fabric) -> NodeCost:
    """Cost of a communication node by rank; bound, formula, source and error are those of the slowest group."""
    groups = communication.groups
    pair = communication.pattern in (Pattern.SEND, Pattern.RECEIVE)
    if groups.size == 1 and not pair:
        return FREE
    load = _group_bytes(communication.bytes, groups)
    terms, chosen = _terms(communication, load, fabric)
    waited = terms.latency + (0.0 if pair else fabric.arrival_seconds)
    seconds = terms.bandwidth + waited
    slowest = int(seconds.argmax())
    latency = _at(waited, seconds, slowest)
    bound = Bound.NETWORK if seconds.flat[slowest] >= 2 * latency else Bound.LATENCY
    shown = Shown(communication, _at(load, seconds, slowest), slowest % seconds.shape[-1], latency)
    return node_cost(
        _by_rank(seconds, groups),
        bound if seconds.flat[slowest] else Bound.NONE,
        partial(exchange_text, shown, fabric, chosen),
        exchange_source(shown, fabric, chosen),
        chosen.regime.residuals.median if chosen.regime else None,
        bool(outside(shown, chosen)),
    )


def _terms(communication: Communication, load: ByGroup, fabric: Fabric) -> tuple[Terms, Chosen]:
    """Seconds by group, and the coefficients that those of the slowest come from."""
    groups, own = communication.groups, fabric.custom
    size = np.array([float(groups.size)])
    spread = Spread(size, np.minimum(groups.local.astype(np.float64), size), groups.nodes.astype(np.float64))
    if communication.exchange and own:
        return _exchange(communication, communication.exchange, spread, fabric)
    name, formula = _NCCL[communication.pattern]
    chosen = fabric.chosen(name)
    terms = formula(chosen.values, load, spread, fabric.wires)
    if communication.pattern is not Pattern.ALL_REDUCE or own is None or bool((spread.nodes > 1).all()):
        return terms, chosen
    kernel = fabric.chosen(own)
    other = custom_all_reduce(kernel.values, load, spread, fabric.wires)
    best = faster(terms, other)
    slowest = int(best.seconds.argmax())
    return best, kernel if other.seconds.flat[slowest] < terms.seconds.flat[slowest] else chosen


def _exchange(communication: Communication, exchange: Exchange, spread: Spread, fabric: Fabric) -> tuple[Terms, Chosen]:
    """Dispatch or combine. The side of the experts receives in a dispatch and sends in a combine."""
    groups = communication.groups
    chosen = fabric.chosen(f"{exchange.leg}/{exchange.kernel}")
    sent, taken = communication.bytes, exchange.taken
    tokens, at_experts = (sent, taken) if exchange.leg is Leg.DISPATCH else (taken, sent)
    mean = _group_mean(tokens, groups)
    some = np.where(mean > 0, mean, 1.0)
    nodes = spread.nodes
    if exchange.groups and exchange.top_groups:
        nodes = exchange.top_groups * np.maximum(1.0, nodes / exchange.groups)
    busiest = (_group_bytes(side, groups) / some for side in (tokens, at_experts))
    rows = experts.Tokens(mean, exchange.top, nodes, *busiest)
    return _EXPERTS[exchange.kernel](chosen.values, rows, spread, fabric.wires), chosen


def _group_bytes(load: Load, groups: Groups) -> ByGroup:
    """Bytes of the member with most, shape (groups,) or (copies, groups)."""
    if load.shape[-1] == 1:
        return np.broadcast_to(load, (*load.shape[:-1], groups.members.shape[0]))
    return load[..., groups.members].max(axis=-1)


def _group_mean(load: Load, groups: Groups) -> ByGroup:
    """Bytes of a member in the mean, shape (groups,) or (copies, groups)."""
    if load.shape[-1] == 1:
        return _group_bytes(load, groups)
    return load[..., groups.members].mean(axis=-1)


def _by_rank(seconds: ByGroup, groups: Groups) -> ByGroup:
    """Each member's seconds, (width,) or (copies, width); one column where all groups have the same."""
    if bool((seconds == seconds[..., :1]).all()):
        return seconds[..., :1]
    ranks: ByGroup = np.zeros((*seconds.shape[:-1], groups.members.size), dtype=np.float64)
    ranks[..., groups.members] = seconds[..., None]
    return ranks


def _at(values: ByGroup, whole: ByGroup, index: int) -> float:
    """The element of `values` that stands at a flat index of what it was broadcast to."""
    if values.size == 1:
        return float(values.flat[0])
    return float(
        values.flat[index] if values.shape == whole.shape else np.broadcast_to(values, whole.shape).flat[index]
    )
