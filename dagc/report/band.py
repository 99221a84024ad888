"""How far a phase's time may be off: the errors of its nodes' formulas, put together, and what no formula has.

A formula errs in the same direction wherever it is used on one device, and one formula knows nothing of another. So the
errors of nodes of one kind and source add up, and those of different ones add as squares:

    band² = WHOLE² + Σ over kinds (Σ over nodes seconds · error)² / (Σ over nodes seconds)²

The error of a node is the median one of its formula on measurements (`NodeCost.error`). A node without one is a
roofline with one flat efficiency. `WHOLE` is what lies between nodes and around them: another version of the engine,
its host, kernels of its own. Of the measured phases and requests of `dagc validate` to which nothing was fitted about
half lie inside the band, and three in four inside twice of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot

from dagc.graph.graph import Node
from dagc.graph.priced import NodeCost, PricedPhase

WHOLE = 0.12
"""Error of a whole phase beyond its nodes', so large that half of the measured cases lie inside the band. Serving runs
repeated with other versions of an engine differ by 50 % in one of ten (ai-dynamo/aiconfigurator @ 095f58a5)."""

UNFITTED = 0.3
"""Error of a roofline with one flat efficiency: the median of such on the measured cases of `dagc validate`."""


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
    wrong: defaultdict[tuple[str, str], float] = defaultdict(float)
    for node, cost, uses in _uses(priced):
        if not cost.longest:
            continue
        spent = float(uses * cost.longest)
        seconds += spent
        outside += spent if cost.extrapolated else 0.0
        wrong[node.op.name, cost.source] += spent * (UNFITTED if cost.error is None else cost.error)
    if not seconds:
        return Errors(0.0, 0.0)
    return Errors(hypot(WHOLE, *(one / seconds for one in wrong.values())), outside / seconds)


def _uses(priced: PricedPhase) -> Iterator[tuple[Node, NodeCost, int]]:
    """Each node of each template, with how often it is executed."""
    graph = priced.graph
    counts: defaultdict[int, int] = defaultdict(int)
    sizes = graph.uses
    for size, _, _, segment in graph.segments():
        counts[segment.template] += segment.count * sizes[size]
    for template, uses in counts.items():
        for node, cost in zip(graph.templates[template].nodes, priced.costs[template], strict=True):
            yield node, cost, uses
