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

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.cost.amounts import Amount, Amounts, Partition, Priced, amounts_of, cost_by_amount
from dagc.cost.duration import FREE
from dagc.cost.exchange_text import Shown, exchange_source, exchange_text, outside
from dagc.cost.network import direct, experts, ring
from dagc.cost.network.custom import custom_all_reduce
from dagc.cost.network.fabric import Chosen, Fabric
from dagc.cost.network.terms import ByGroup, Formula, Spread, Terms, faster
from dagc.cost.rows import Rows, columns_of, rows_of
from dagc.graph.graph import Communication, Groups, Kernel, Leg, Load, Pattern
from dagc.graph.priced import Bound, NodeCost

_NCCL: dict[Pattern, tuple[str, Formula]] = {
    Pattern.ALL_REDUCE: ("all_reduce/nccl", ring.all_reduce),
    Pattern.ALL_GATHER: ("all_gather/nccl", ring.gather),
    Pattern.REDUCE_SCATTER: ("reduce_scatter/nccl", ring.gather),
    Pattern.ALL_TO_ALL: ("all_to_all/nccl", direct.all_to_all),
    Pattern.SEND: ("send/nccl", direct.message),
    Pattern.RECEIVE: ("send/nccl", direct.message),
}

_MESSAGES = (Pattern.SEND, Pattern.RECEIVE)

_EXPERTS: dict[Kernel, experts.TokenFormula] = {Kernel.NORMAL: experts.normal, Kernel.LOW_LATENCY: experts.low_latency}


class Kind(NamedTuple):
    """What the price of a group's bytes depends on beside them and how the group lies.

    `rows` says of an exchange by kernels like DeepEP's what its rows are (see `Exchange`), None of any other.
    """

    pattern: Pattern
    size: int
    leg: Leg | None
    rows: tuple[Kernel, int, int, int] | None


KnownTalk = dict[Kind, dict[Amount, Priced]]
"""What groups take, by kind: their nodes, members in the fullest of these, and bytes; of one cluster and engine."""


class _Asked(NamedTuple):
    """A communication, and figures of its groups: nodes, members in the fullest node, bytes.

    Bytes are of the member with most; with `rows` they are the mean on the side of the tokens, and those of the member
    with most on this side and on that of the experts. Shapes are (groups,), (copies, groups), or with one column.
    """

    talk: Communication
    kind: Kind
    figures: tuple[ByGroup, ...]


def collective_cost(communication: Communication, fabric: Fabric) -> NodeCost:
    """Cost of a communication node by rank; bound, formula, source and error are those of the slowest group."""
    return collective_costs((communication,), fabric, {})[0]


def collective_costs(talks: Sequence[Communication], fabric: Fabric, known: KnownTalk) -> list[NodeCost]:
    """The same of several.

    What a group takes depends on its own bytes and on how it lies, and few groups differ: each amount is priced once.
    Where there are many groups, loads by copy, or groups inside a node beside others, every group is priced.
    """
    found: dict[int, NodeCost] = {}
    met: list[Partition] = []
    narrow: dict[int, tuple[_Asked, Amounts]] = {}
    wide: dict[int, _Asked] = {}
    for number, talk in enumerate(talks):
        if talk.groups.size == 1 and talk.pattern not in _MESSAGES:
            found[number] = FREE
            continue
        asked = _asked(talk, fabric)
        amounts = amounts_of(asked.figures, met)
        if amounts is None or len({amount[0] > 1 for amount in amounts.each}) > 1:
            wide[number] = asked
        else:
            narrow[number] = asked, amounts
    _learn([(asked.kind, amounts) for asked, amounts in narrow.values()], fabric, known)
    for number, (asked, amounts) in narrow.items():
        found[number] = _told(cost_by_amount(amounts, known[asked.kind]), asked.talk.groups)
    found.update(zip(wide, _of_every_group(list(wide.values()), fabric), strict=True))
    return [found[number] for number in range(len(talks))]


def _asked(talk: Communication, fabric: Fabric) -> _Asked:
    groups, exchange = talk.groups, talk.exchange
    lie = groups.nodes.astype(np.float64), groups.local.astype(np.float64)
    leg = exchange.leg if exchange else None
    if exchange is None or fabric.custom is None:
        return _Asked(talk, Kind(talk.pattern, groups.size, leg, None), (*lie, _group_bytes(talk.bytes, groups)))
    sent, taken = talk.bytes, exchange.taken
    tokens, at_experts = (sent, taken) if exchange.leg is Leg.DISPATCH else (taken, sent)
    rows = exchange.kernel, exchange.top, exchange.groups, exchange.top_groups
    bytes_of = _group_mean(tokens, groups), _group_bytes(tokens, groups), _group_bytes(at_experts, groups)
    return _Asked(talk, Kind(talk.pattern, groups.size, leg, rows), (*lie, *bytes_of))


def _learn(asked: Sequence[tuple[Kind, Amounts]], fabric: Fabric, known: KnownTalk) -> None:
    """Price the amounts that are not known, those of a kind together, and of these those on one node."""
    new: dict[tuple[Kind, bool], dict[Amount, None]] = {}
    for kind, amounts in asked:
        of = known.setdefault(kind, {})
        fresh = {amount: None for amount in amounts.each if amount not in of}
        if fresh:
            new.setdefault((kind, amounts.each[0][0] > 1), {}).update(fresh)
    for (kind, _), amounts in new.items():
        figures = np.ascontiguousarray(np.array(list(amounts)).T)[:, :, None]
        rows = Rows(tuple(range(1, len(amounts) + 1)), False)
        known[kind].update(zip(amounts, _priced(kind, rows, tuple(figures), fabric), strict=True))


def _told(cost: NodeCost, groups: Groups) -> NodeCost:
    """A cost by group as one by rank."""
    if cost.duration.size == 1:
        return cost
    return replace(cost, duration=_by_rank(cost.duration, groups))


def _of_every_group(asked: Sequence[_Asked], fabric: Fabric) -> list[NodeCost]:
    """Costs of communications of whose groups each is priced; those of one kind over the same groups together."""
    together: dict[object, list[int]] = {}
    for number, (talk, kind, figures) in enumerate(asked):
        groups = talk.groups
        same = kind, groups.members.tobytes(), groups.nodes.tobytes(), groups.local.tobytes(), columns_of(*figures)
        together.setdefault(same, []).append(number)
    found: dict[int, NodeCost] = {}
    for numbers in together.values():
        some = [asked[number] for number in numbers]
        rows = rows_of([one.figures for one in some])
        figures = tuple([rows.figures(loads) for loads in zip(*[one.figures for one in some], strict=True)])
        groups = some[0].talk.groups
        costs = _priced(some[0].kind, rows, figures, fabric, lambda seconds, of=groups: _by_rank(seconds, of))
        found.update({number: one.cost for number, one in zip(numbers, costs, strict=True)})
    return [found[number] for number in range(len(asked))]


def _priced(
    kind: Kind,
    rows: Rows,
    figures: tuple[ByGroup, ...],
    fabric: Fabric,
    by_rank: Callable[[ByGroup], ByGroup] | None = None,
) -> list[Priced]:
    """Costs of figures of groups as in `_Asked`, by row; by group where `by_rank` does not bring them to ranks."""
    nodes, local, *sizes = figures
    size = np.array([float(kind.size)])
    spread = Spread(size, np.minimum(local, size), nodes)
    load = sizes[2 if kind.rows and kind.leg is Leg.COMBINE else 1 if kind.rows else 0]
    terms, chosen = _terms(kind, rows, sizes, spread, fabric)
    waited = terms.latency + (0.0 if kind.pattern in _MESSAGES else fabric.arrival_seconds)
    seconds = terms.bandwidth + waited
    slowest = rows.slowest(seconds)
    longest, latencies, shown = (
        slowest.of(seconds),
        slowest.of(waited),
        [slowest.of(each) for each in (load, nodes, local)],
    )
    found: list[Priced] = []
    for i, duration in enumerate(rows.durations(by_rank(seconds) if by_rank else seconds)):
        bound = Bound.NETWORK if longest[i] >= 2 * latencies[i] else Bound.LATENCY
        one = Shown(kind.pattern, kind.leg, shown[0][i], kind.size, int(shown[1][i]), int(shown[2][i]), latencies[i])
        past, regime = outside(one, chosen[i]), chosen[i].regime
        wording, source = partial(exchange_text, one, fabric, chosen[i]), exchange_source(fabric, chosen[i], past)
        bound, error = bound if longest[i] else Bound.NONE, regime.residuals.median if regime else None
        found.append(Priced(NodeCost(duration, bound, wording, source, error, bool(past)), longest[i]))
    return found


def _terms(
    kind: Kind, rows: Rows, sizes: Sequence[ByGroup], spread: Spread, fabric: Fabric
) -> tuple[Terms, Sequence[Chosen]]:
    """Seconds by row and group, and for each the coefficients that those of its slowest group come from."""
    own, number = fabric.custom, len(rows.ends)
    if kind.rows:
        terms, chosen = _exchange(f"{kind.leg}/{kind.rows[0]}", kind.rows, sizes, spread, fabric)
        return terms, [chosen] * number
    name, formula = _NCCL[kind.pattern]
    chosen = fabric.chosen(name)
    terms = formula(chosen.values, sizes[0], spread, fabric.wires)
    if kind.pattern is not Pattern.ALL_REDUCE or own is None or bool((spread.nodes > 1).all()):
        return terms, [chosen] * number
    kernel = fabric.chosen(own)
    other = custom_all_reduce(kernel.values, sizes[0], spread, fabric.wires)
    best = faster(terms, other)
    slowest = rows.slowest(best.seconds)
    ends = zip(slowest.of(other.seconds), slowest.of(terms.seconds), strict=True)
    return best, [kernel if custom < nccl else chosen for custom, nccl in ends]


def _exchange(
    name: str, rows: tuple[Kernel, int, int, int], sizes: Sequence[ByGroup], spread: Spread, fabric: Fabric
) -> tuple[Terms, Chosen]:
    """Dispatch or combine. The side of the experts receives in a dispatch and sends in a combine."""
    kernel, top, expert_groups, top_groups = rows
    mean, source, target = sizes
    some = np.where(mean > 0, mean, 1.0)
    nodes = spread.nodes
    if expert_groups and top_groups:
        nodes = top_groups * np.maximum(1.0, nodes / expert_groups)
    chosen = fabric.chosen(name)
    tokens = experts.Tokens(mean, top, nodes, source / some, target / some)
    return _EXPERTS[kernel](chosen.values, tokens, spread, fabric.wires), chosen


def _group_bytes(load: Load, groups: Groups) -> ByGroup:
    """Bytes of the member with most, shape (groups,) or (copies, groups); one column where all ranks have the same."""
    if load.shape[-1] == 1:
        return load
    if groups.members.size == groups.size == load.shape[-1]:
        return load.max(axis=-1, keepdims=True)
    return load[..., groups.members].max(axis=-1)


def _group_mean(load: Load, groups: Groups) -> ByGroup:
    """Bytes of a member in the mean, in the same shapes."""
    return load if load.shape[-1] == 1 else load[..., groups.members].mean(axis=-1)


def _by_rank(figures: npt.NDArray[Any], groups: Groups) -> npt.NDArray[Any]:
    """Each member's figure, (width,) or (copies, width); one column where all groups have the same."""
    if bool((figures == figures[..., :1]).all()):
        return figures[..., :1]
    ranks = np.zeros((*figures.shape[:-1], groups.members.size), dtype=figures.dtype)
    ranks[..., groups.members] = figures[..., None]
    return ranks
