"""Duration of a computation: a formula fitted to measurements where the device has one, else the roofline.

With a calibration, an operator names the regimes of it that may hold (`Computation.regimes`), and the first that is
there has a formula that gives seconds by rank. Without one, or where it has none of them:

    slowdown · max(flops / (peak[dtype] · compute efficiency), bytes / (bandwidth · memory efficiency))

with one flat, documented achieved share of each datasheet peak. Source of the roofline: Williams, Waterman, Patterson,
"Roofline: an insightful visual performance model" (2009). `slowdown` is 1 but on ranks that the plan slows: by 10 %
means that everything they compute takes 1.1 times as long. Kernels are launched from a CUDA graph: a launch costs what
it costs there. Where the device states a `launch`, the host launches them one by one so far apart, and nothing is
shorter; that is exact where the host never gets ahead, and too long where long kernels let it. Not modelled: contention
between lanes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.cost.amounts import Amount, Partition, Priced, amounts_of, cost_by_amount
from dagc.cost.rows import Rows, columns_of, rows_of
from dagc.cost.work import Kind, alike, kind_of, loads_of, priced
from dagc.graph.priced import NodeCost
from dagc.ops.load import Load
from dagc.ops.op import Computation, Setting

KnownWork = dict[object, dict[Amount, Priced]]
"""What amounts of work (how many times as long as stated, FLOPs, bytes, other inputs) take, by device and kind.

They are of one type of activations and one engine.
"""

STATED: Load = np.ones(1)
"""No rank slowed."""


def operator_cost(
    op: Computation,
    device: DeviceSpec,
    activation: Dtype,
    slowdown: Load = STATED,
    *,
    tunes_expert_shards: bool = True,
) -> NodeCost:
    """Cost of a computation by rank (and copy); bound and formula are those of the slowest.

    `slowdown` has shape (1,) or (width,).
    """
    return operator_costs((op,), Setting(device, activation, tunes_expert_shards), {}, slowdown)[0]


def operator_costs(
    ops: Sequence[Computation], setting: Setting, known: KnownWork, slowdown: Load = STATED
) -> list[NodeCost]:
    """The same of several on one team.

    What a rank takes depends on its own work and on what all ranks share, and few ranks differ: each amount of work is
    priced once. Operators with wide loads, or loads by copy, are priced at every rank.
    """
    kinds = [kind_of(op, setting) for op in ops]
    loads = [loads_of(op, kind) for op, kind in zip(ops, kinds, strict=True)]
    met: list[Partition] = []
    amounts = [amounts_of((slowdown, *each), met) for each in loads]
    device = setting.device.name, setting.device.processors
    found = [known.setdefault((device, kind), {}) for kind in kinds]
    new: dict[tuple[Kind, Amount], dict[Amount, Priced]] = {}
    for kind, of, each in zip(kinds, found, amounts, strict=True):
        new.update({(kind, one): of for one in each.each if one not in of} if each else {})
    _learn(new, setting)
    wide = [(kind, load) for kind, load, each in zip(kinds, loads, amounts, strict=True) if not each]
    whole = iter(_at_every_rank(wide, setting, slowdown))
    return [cost_by_amount(each, of) if each else next(whole) for each, of in zip(amounts, found, strict=True)]


def _learn(new: dict[tuple[Kind, Amount], dict[Amount, Priced]], setting: Setting) -> None:
    """Price each amount of a kind, and put it where it belongs."""
    together: dict[object, list[tuple[Kind, Amount]]] = {}
    for kind, amount in new:
        together.setdefault(alike(kind, setting), []).append((kind, amount))
    for asked in together.values():
        slowed, *loads = np.ascontiguousarray(np.array([amount for _, amount in asked]).T)[:, :, None]
        rows = Rows(tuple(range(1, len(asked) + 1)), False)
        costs = priced([kind for kind, _ in asked], rows, loads, slowed, setting)
        for (kind, amount), cost in zip(asked, costs, strict=True):
            new[kind, amount][amount] = cost


def _at_every_rank(wide: Sequence[tuple[Kind, tuple[Load, ...]]], setting: Setting, slowdown: Load) -> list[NodeCost]:
    """Costs of works of whose ranks each is priced."""
    together: dict[object, list[int]] = {}
    for number, (kind, loads) in enumerate(wide):
        together.setdefault((alike(kind, setting), columns_of(*loads)), []).append(number)
    found: dict[int, NodeCost] = {}
    for numbers in together.values():
        kinds, works = zip(*[wide[number] for number in numbers], strict=True)
        rows = rows_of(works)
        columns = max([load.shape[-1] for loads in works for load in loads])
        figures = [rows.figures(loads, columns) for loads in zip(*works, strict=True)]
        costs = priced(kinds, rows, figures, slowdown, setting)
        found.update({number: one.cost for number, one in zip(numbers, costs, strict=True)})
    return [found[number] for number in range(len(wide))]
