"""How far a phase's time may be off: the errors of its nodes' formulas, put together.

A formula errs in the same direction wherever it is used on one device, and one formula knows nothing of another. So the
errors of nodes of one kind and source add up, and those of different ones add as squares:

    band = sqrt(Σ over kinds (Σ over nodes seconds · error)²) / Σ over nodes seconds

The error of a node is the median one of its formula on measurements (`NodeCost.error`), so that about half of all plans
should lie inside the band. A node without one is a roofline with one flat efficiency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import sqrt

from dagc.graph.graph import Node
from dagc.graph.priced import NodeCost, PricedPhase

UNFITTED = 0.3
"""Error of a roofline with one flat efficiency: the median of such on the measured cases of `dagc validate`."""


def band(priced: PricedPhase) -> float:
    """The relative error to expect of a phase's time."""
    seconds = 0.0
    wrong: defaultdict[tuple[str, str], float] = defaultdict(float)
    for node, cost, uses in _uses(priced):
        spent = uses * float(cost.duration.max(initial=0))
        error = UNFITTED if cost.error is None else cost.error
        seconds += spent
        wrong[node.op.name, cost.source] += spent * error
    return sqrt(sum(one * one for one in wrong.values())) / seconds if seconds else 0.0


def _uses(priced: PricedPhase) -> Iterator[tuple[Node, NodeCost, int]]:
    """Each node of each template, with how often it is executed."""
    graph = priced.graph
    counts: defaultdict[int, int] = defaultdict(int)
    sizes = [graph.micro_batches.count(size) for size in range(len(graph.programs))]
    for size, _, _, segment in graph.segments():
        counts[segment.template] += segment.count * sizes[size]
    for template, uses in counts.items():
        for node, cost in zip(graph.templates[template].nodes, priced.costs[template], strict=True):
            yield node, cost, uses
