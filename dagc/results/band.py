"""How far a phase's time may be off: the errors of its nodes' formulas, put together, and what no formula has.

A formula errs in the same direction wherever it is used on one device, and one formula knows nothing of another. So the
errors of nodes of one kind and source add up, and those of different ones add as squares:

    band² = WHOLE² + Σ over kinds (Σ over nodes seconds · error)² / (Σ over nodes seconds)²

The error of a node is the median one of its formula on measurements (`NodeCost.error`). A node without one is a
roofline with one flat efficiency. `WHOLE` is what lies between nodes and around them: another version of the engine,
its host, kernels of its own. Of the measured phases and requests of `dagc validate` to which nothing was fitted about
half lie inside the band, and three in four inside twice its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import hypot
from typing import NamedTuple

from dagc.graph.graph import Template
from dagc.graph.priced import Costs, PricedPhase, serial_time

WHOLE = 0.12
"""Error of a whole phase beyond its nodes', so large that half of the measured cases lie inside the band. Serving runs
repeated with other versions of an engine differ by 50 % in one of ten (ai-dynamo/aiconfigurator @ 095f58a5)."""

UNFITTED = 0.3
"""Error of a roofline with one flat efficiency: the median of such on the measured cases of `dagc validate`."""

_KEPT = 4_096
"""Templates whose nodes' errors are kept: many phases have one in common."""


@dataclass(frozen=True, slots=True)
class Errors:
    """The relative error to expect of a phase's time, and the share of its nodes' time outside of what was fitted."""

    band: float
    extrapolated: float


def band(priced: PricedPhase) -> float:
    """The relative error to expect of a phase's time."""
    return errors(priced).band


def errors(priced: PricedPhase) -> Errors:
    """What there is to say of a phase's time."""
    seconds = outside = 0.0
    wrong: dict[_Kind, float] = {}
    for template, count in priced.graph.copies.items():
        costs = priced.costs[template]
        breakdown = _breakdown(priced.graph.templates[template], costs)
        seconds += count * serial_time(costs)
        outside += count * breakdown.outside
        for kind, one in breakdown.wrong.items():
            wrong[kind] = wrong.get(kind, 0.0) + count * one
    if not seconds:
        return Errors(0.0, 0.0)
    return Errors(hypot(WHOLE, *(one / seconds for one in wrong.values())), outside / seconds)


_Kind = tuple[str, str]
"""An operator, and the source of its coefficients."""


class _Breakdown(NamedTuple):
    """What of the time of a template's nodes lies outside of what was fitted, and what of it may be wrong, by kind."""

    outside: float
    wrong: dict[_Kind, float]


@lru_cache(maxsize=_KEPT)
def _breakdown(template: Template, costs: Costs) -> _Breakdown:
    outside = 0.0
    wrong: dict[_Kind, float] = {}
    for node, cost in zip(template.nodes, costs, strict=True):
        if cost.longest:
            kind = node.op.name, cost.source
            outside += cost.longest if cost.extrapolated else 0.0
            wrong[kind] = wrong.get(kind, 0.0) + cost.longest * (UNFITTED if cost.error is None else cost.error)
    return _Breakdown(outside, wrong)
