"""Duration of a communication: that of the fastest algorithm that may carry it, by group.

Turns a communication's bytes and groups into seconds by rank. Who carries it (`dagc.ops` has the formulas,
`dagc.ops.fabric` the coefficients):

    all-reduce in one node       the engine's own kernel or NCCL, the faster one; NCCL alone with `collectives nccl`
    all-reduce across nodes,     NCCL
    all-gather, reduce-scatter,
    all-to-all, send, receive
    dispatch and combine         kernels like DeepEP's, normal in steps with prompts, else low-latency but where an
                                 instance for both has one kernel; an all-to-all of NCCL with `collectives nccl`

Where a device states a `launch`, hosts launch one by one, and members of a group come to it `LAUNCHES_APART` of them
apart. A send and a receive wait for each other in the schedule instead.

Costs are by group, each member of a group has its group's, and S is that of the member with most. Loads by copy and
rank give costs by copy and rank. All groups run at once, each GPU with its share of the node's adapters. Not modelled:
contention with other exchanges and with computation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.cost.amounts import (
    FREE,
    Amount,
    AmountCache,
    AmountRows,
    Amounts,
    Partition,
    PricedAmount,
    adjustment,
    amounts_of,
    columns_of,
    cost_by_amount,
    rate_text,
    rows_of,
)
from dagc.graph.priced import Bound, NodeCost
from dagc.ops.communication import Communication
from dagc.ops.fabric import Chosen, Fabric
from dagc.ops.groups import Groups
from dagc.ops.network import ByGroup, GroupSpread, TransferTime, faster
from dagc.units import format_bytes, format_seconds


class GroupKey(NamedTuple):
    """What the price of a group's bytes depends on beside them and how the group lies."""

    op: type[Communication]
    size: int
    parameters: object


class _Asked(NamedTuple):
    """A communication, and figures of its groups: nodes, members in the fullest node, and what its formula takes.

    Shapes are (groups,), (copies, groups), or with one column.
    """

    op: Communication
    kind: GroupKey
    figures: tuple[ByGroup, ...]


def collective_costs(ops: Sequence[Communication], fabric: Fabric, known: AmountCache) -> list[NodeCost]:
    """Costs of communications by rank; bound, formula, source and error are those of the slowest group.

    What a group takes depends on its own bytes and on how it lies, and few groups differ: each amount is priced once.
    Where there are many groups, loads by copy, or groups inside a node beside others, every group is priced.
    """
    found: dict[int, NodeCost] = {}
    partitions: list[Partition] = []
    narrow: dict[int, tuple[_Asked, Amounts]] = {}
    wide: dict[int, _Asked] = {}
    for number, op in enumerate(ops):
        if op.groups.size == 1 and not op.is_message:
            found[number] = FREE
            continue
        asked = _asked(op, fabric)
        amounts = amounts_of(asked.figures, partitions)
        if amounts is None or len({amount[0] > 1 for amount in amounts.each}) > 1:
            wide[number] = asked
        else:
            narrow[number] = asked, amounts
    _learn(narrow.values(), fabric, known)
    for number, (asked, amounts) in narrow.items():
        found[number] = _cost_by_rank(cost_by_amount(amounts, known[asked.kind]), asked.op.groups)
    found.update(zip(wide, _of_every_group(list(wide.values()), fabric), strict=True))
    return [found[number] for number in range(len(ops))]


def _asked(op: Communication, fabric: Fabric) -> _Asked:
    groups = op.groups
    lie = groups.nodes.astype(np.float64), groups.local.astype(np.float64)
    return _Asked(op, GroupKey(type(op), groups.size, op.parameters), (*lie, *op.figures(fabric)))


def _learn(asked: Iterable[tuple[_Asked, Amounts]], fabric: Fabric, known: AmountCache) -> None:
    """Price the amounts that are not known, those of a kind together, and of these those on one node."""
    new: dict[tuple[GroupKey, bool], tuple[Communication, dict[Amount, None]]] = {}
    for (op, kind, _), amounts in asked:
        of = known.setdefault(kind, {})
        fresh = {amount: None for amount in amounts.each if amount not in of}
        if fresh:
            new.setdefault((kind, amounts.each[0][0] > 1), (op, {}))[1].update(fresh)
    for (kind, _), (op, amounts) in new.items():
        figures = np.ascontiguousarray(np.array(list(amounts)).T)[:, :, None]
        rows = AmountRows(tuple(range(1, len(amounts) + 1)), False)
        known[kind].update(zip(amounts, _priced(op, rows, tuple(figures), fabric), strict=True))


def _cost_by_rank(cost: NodeCost, groups: Groups) -> NodeCost:
    """A cost by group as one by rank."""
    if cost.duration.size == 1:
        return cost
    return replace(cost, duration=_by_rank(cost.duration, groups))


def _of_every_group(asked: Sequence[_Asked], fabric: Fabric) -> list[NodeCost]:
    """Costs of communications of whose groups each is priced; those of one kind over the same groups together."""
    together: dict[object, list[int]] = {}
    for number, (op, kind, figures) in enumerate(asked):
        groups = op.groups
        same = kind, groups.members.tobytes(), groups.nodes.tobytes(), groups.local.tobytes(), columns_of(*figures)
        together.setdefault(same, []).append(number)
    found: dict[int, NodeCost] = {}
    for numbers in together.values():
        some = [asked[number] for number in numbers]
        rows = rows_of([one.figures for one in some])
        by_figure = zip(*[one.figures for one in some], strict=True)
        figures = tuple([rows.figures(loads, max([load.shape[-1] for load in loads])) for loads in by_figure])
        groups = some[0].op.groups
        costs = _priced(some[0].op, rows, figures, fabric, lambda seconds, of=groups: _by_rank(seconds, of))
        found.update({number: one.cost for number, one in zip(numbers, costs, strict=True)})
    return [found[number] for number in range(len(asked))]


def _priced(
    op: Communication,
    rows: AmountRows,
    figures: tuple[ByGroup, ...],
    fabric: Fabric,
    by_rank: Callable[[ByGroup], ByGroup] | None = None,
) -> list[PricedAmount]:
    """Costs of figures of groups as in `_Asked`, by row, of the kind of `op`.

    By group where `by_rank` does not bring them to ranks.
    """
    nodes, local, *sizes = figures
    size = np.array([float(op.groups.size)])
    spread = GroupSpread(size, np.minimum(local, size), nodes)
    terms, chosen = _fastest(op, rows, sizes, spread, fabric)
    waited = terms.latency + (0.0 if op.is_message else fabric.arrival_seconds)
    seconds = terms.bandwidth + waited
    if fabric.factor != 1:
        seconds, waited = seconds * fabric.factor, waited * fabric.factor
    slowest = rows.slowest(seconds)
    longest, latencies, shown = (
        slowest.of(seconds),
        slowest.of(waited),
        [slowest.of(each) for each in (sizes[0], nodes, local)],
    )
    found: list[PricedAmount] = []
    for i, duration in enumerate(rows.durations(by_rank(seconds) if by_rank else seconds)):
        bound = Bound.NETWORK if longest[i] >= 2 * latencies[i] else Bound.LATENCY
        one = SlowestGroup(type(op), shown[0][i], op.groups.size, int(shown[1][i]), int(shown[2][i]), latencies[i])
        past, regime = outside(one, chosen[i]), chosen[i].regime
        wording, source = partial(exchange_text, one, fabric, chosen[i]), exchange_source(fabric, chosen[i], past)
        bound, error = bound if longest[i] else Bound.NONE, regime.residuals.median if regime else None
        found.append(PricedAmount(NodeCost(duration, bound, wording, source, error, bool(past)), longest[i]))
    return found


def _fastest(
    op: Communication, rows: AmountRows, sizes: Sequence[ByGroup], spread: GroupSpread, fabric: Fabric
) -> tuple[TransferTime, Sequence[Chosen]]:
    """Seconds by row and group, and for each row the coefficients that those of its slowest group come from."""
    first, *others = op.algorithms(sizes, spread, fabric)
    best, chosen = first.terms, [first.chosen] * len(rows.ends)
    for other in others:
        before, best = best, faster(best, other.terms)
        slowest = rows.slowest(best.seconds)
        ends = zip(slowest.of(other.terms.seconds), slowest.of(before.seconds), chosen, strict=True)
        chosen = [other.chosen if own < former else known for own, former, known in ends]
    return best, chosen


def _by_rank(figures: npt.NDArray[Any], groups: Groups) -> npt.NDArray[Any]:
    """Each member's figure, (width,) or (copies, width); one column where all groups have the same."""
    if bool((figures == figures[..., :1]).all()):
        return figures[..., :1]
    ranks = np.zeros((*figures.shape[:-1], groups.members.size), dtype=figures.dtype)
    ranks[..., groups.members] = figures[..., None]
    return ranks


class SlowestGroup(NamedTuple):
    """The slowest group of an exchange: `load` bytes of its member with most, and its seconds of latency.

    The group has `size` members, `local` of them in the fullest of its `nodes`.
    """

    op: type[Communication]
    load: float
    size: int
    nodes: int
    local: int
    latency: float


def exchange_text(shown: SlowestGroup, fabric: Fabric, chosen: Chosen) -> str:
    """What is exchanged between whom, over which wires at which achieved rate, and the latency."""
    op, nodes, local = shown.op, shown.nodes, shown.local
    latency = f"latency {format_seconds(shown.latency)}"
    if fabric.arrival_seconds and not op.is_message:
        latency += f" with {format_seconds(fabric.arrival_seconds)} until all hosts have launched"
    if op.is_message:
        wires = _wires(fabric, chosen, nodes, 1)
        return f"{op.pattern} of {format_bytes(shown.load)}: {wires}, {latency}"
    name = op.name.replace("_", "-")
    spread = f"over {shown.size} ranks" + (f", {local} in a node on {nodes} nodes" if nodes > 1 else " of one node")
    backend = chosen.name.partition("/")[2].replace("_", "-")
    return (
        f"{name} ({backend}) of {format_bytes(shown.load)} {spread}: {_wires(fabric, chosen, nodes, local)}, {latency}"
    )


def _wires(fabric: Fabric, chosen: Chosen, nodes: int, local: int) -> str:
    wires, values = fabric.wires, chosen.values
    link = ("link", float(wires.link) * values["share"] / fabric.factor)
    network = ("network", float(wires.network) * values.get("network_share", 1.0) / fabric.factor)
    used = [link] if nodes == 1 else [network] if local == 1 else [link, network]
    return " and ".join(f"{name} {rate_text(rate, 'bytes/s')}" for name, rate in used)


def outside(shown: SlowestGroup, chosen: Chosen) -> tuple[str, ...]:
    """Names of what lies outside of the measurements; nothing where there are none."""
    inputs = {"ranks": float(shown.size), "nodes": float(shown.nodes), "bytes": shown.load}
    return chosen.regime.outside(inputs) if chosen.regime else ()


def exchange_source(fabric: Fabric, chosen: Chosen, past: tuple[str, ...]) -> str:
    """The regime and its measurements, or the cluster's figures; what was not measured here, and what lies outside."""
    regime = chosen.regime
    adjusted = f"; {adjustment(fabric.factor)}" if fabric.factor != 1 else ""
    if regime is None:
        return f"α-β, cluster {fabric.cluster.name}{adjusted}"
    derived = f"; derived: {regime.derived}" if regime.derived else ""
    beyond = f"; extrapolated in {', '.join(past)}" if past else ""
    return f"{chosen.name}, fitted to {regime.source}{derived}{beyond}{adjusted}"
