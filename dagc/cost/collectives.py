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

from collections.abc import Sequence
from functools import partial

import numpy as np

from dagc.cost.duration import FREE
from dagc.cost.exchange_text import Shown, exchange_source, exchange_text, outside
from dagc.cost.network import direct, experts, ring
from dagc.cost.network.custom import custom_all_reduce
from dagc.cost.network.fabric import Chosen, Fabric
from dagc.cost.network.terms import ByGroup, Formula, Spread, Terms, faster
from dagc.cost.rows import Rows, columns_of, rows_of
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
    return collective_costs((communication,), fabric)[0]


def collective_costs(talks: Sequence[Communication], fabric: Fabric) -> list[NodeCost]:
    """The same of several, those of one pattern over the same groups together."""
    together: dict[object, list[int]] = {}
    for number, talk in enumerate(talks):
        if talk.groups.size > 1 or _is_message(talk):
            together.setdefault(_alike(talk), []).append(number)
    found: dict[int, NodeCost] = {}
    for numbers in together.values():
        found.update(zip(numbers, _costs([talks[number] for number in numbers], fabric), strict=True))
    return [found.get(number, FREE) for number in range(len(talks))]


def _is_message(talk: Communication) -> bool:
    return talk.pattern in (Pattern.SEND, Pattern.RECEIVE)


def _alike(talk: Communication) -> object:
    """Equal for communications of one formula over the same groups, whose loads have as many columns."""
    exchange, groups = talk.exchange, talk.groups
    members = groups.members.shape, groups.members.tobytes(), groups.nodes.tobytes(), groups.local.tobytes()
    if exchange is None:
        return talk.pattern, members, columns_of(talk.bytes)
    rows = exchange.leg, exchange.kernel, exchange.top, exchange.groups, exchange.top_groups
    return talk.pattern, members, columns_of(talk.bytes, exchange.taken), rows


def _costs(talks: Sequence[Communication], fabric: Fabric) -> list[NodeCost]:
    """Costs of communications that are alike."""
    groups = talks[0].groups
    rows = rows_of([(talk.bytes, talk.exchange.taken) if talk.exchange else (talk.bytes,) for talk in talks])
    load = _group_bytes(rows.figures([talk.bytes for talk in talks]), groups)
    terms, chosen = _terms(talks, rows, load, fabric)
    waited = terms.latency + (0.0 if _is_message(talks[0]) else fabric.arrival_seconds)
    seconds = terms.bandwidth + waited
    slowest = rows.slowest(seconds)
    longest, latencies, loads = slowest.of(seconds), slowest.of(waited), slowest.of(load)
    durations, numbers = rows.durations(_by_rank(seconds, groups)), slowest.columns.tolist()
    costs: list[NodeCost] = []
    for i, talk in enumerate(talks):
        bound = Bound.NETWORK if longest[i] >= 2 * latencies[i] else Bound.LATENCY
        shown = Shown(talk, loads[i], numbers[i], latencies[i])
        past, regime = outside(shown, chosen[i]), chosen[i].regime
        wording, source = partial(exchange_text, shown, fabric, chosen[i]), exchange_source(fabric, chosen[i], past)
        error = regime.residuals.median if regime else None
        costs.append(
            NodeCost(durations[i], bound if longest[i] else Bound.NONE, wording, source, error, bool(past))
        )
    return costs


def _terms(
    talks: Sequence[Communication], rows: Rows, load: ByGroup, fabric: Fabric
) -> tuple[Terms, Sequence[Chosen]]:
    """Seconds by row and group, and for each the coefficients that those of its slowest group come from."""
    first, own = talks[0], fabric.custom
    groups = first.groups
    size = np.array([float(groups.size)])
    spread = Spread(size, np.minimum(groups.local.astype(np.float64), size), groups.nodes.astype(np.float64))
    if first.exchange and own:
        terms, chosen = _exchange([(talk.bytes, talk.exchange) for talk in talks if talk.exchange], rows, groups, spread, fabric)
        return terms, [chosen] * len(talks)
    name, formula = _NCCL[first.pattern]
    chosen = fabric.chosen(name)
    terms = formula(chosen.values, load, spread, fabric.wires)
    if first.pattern is not Pattern.ALL_REDUCE or own is None or bool((spread.nodes > 1).all()):
        return terms, [chosen] * len(talks)
    kernel = fabric.chosen(own)
    other = custom_all_reduce(kernel.values, load, spread, fabric.wires)
    best = faster(terms, other)
    slowest = rows.slowest(best.seconds)
    ends = zip(slowest.of(other.seconds), slowest.of(terms.seconds), strict=True)
    return best, [kernel if custom < nccl else chosen for custom, nccl in ends]


def _exchange(
    talks: Sequence[tuple[Load, Exchange]], rows: Rows, groups: Groups, spread: Spread, fabric: Fabric
) -> tuple[Terms, Chosen]:
    """Dispatch or combine. The side of the experts receives in a dispatch and sends in a combine."""
    first = talks[0][1]
    chosen = fabric.chosen(f"{first.leg}/{first.kernel}")
    sides = [(sent, one.taken) if first.leg is Leg.DISPATCH else (one.taken, sent) for sent, one in talks]
    mean = rows.figures([_group_mean(tokens, groups) for tokens, _ in sides])
    some = np.where(mean > 0, mean, 1.0)
    nodes = spread.nodes
    if first.groups and first.top_groups:
        nodes = first.top_groups * np.maximum(1.0, nodes / first.groups)
    busiest = (_group_bytes(rows.figures(list(side)), groups) / some for side in zip(*sides, strict=True))
    tokens = experts.Tokens(mean, first.top, nodes, *busiest)
    return _EXPERTS[first.kernel](chosen.values, tokens, spread, fabric.wires), chosen


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
