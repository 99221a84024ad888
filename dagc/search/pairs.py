"""Prefill beside decode: pairs of services, none of which is made before it may be on the front.

What a pair is judged by comes from its two services apart. TTFT is that of the prefill service. TPOT is that of the
decode service, which differs only with the rank of a node at which its ranks begin. With B sequences, of which E are
prefilled at once, O output tokens and seconds as bounds on these two, throughput is at most
O x min(E / TTFT, B / ((O - 1) x TPOT)); the KV-cache transfer can only lower it. E is B, or, where requests come
and go, no more than the GPUs of the prefill service. So of services that take the same GPUs, in rising order of their
seconds, no pair has a better bound in any objective than one with neither place behind its own: where a pair is
closed, so is every pair with no place before it.

The pairs of p GPUs for prefill and d for decode are a cell, and each cell is walked from its first pair: from (i, j) on
to (i, j + 1), and from (i, 0) to (i + 1, 0) also. A node stands for the pairs that are reached through it alone, so
that closing it closes them, and counts them once. A pair that was priced tells the seconds of both services.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from dagc.metrics import TPOT, TTFT
from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.search.bounding import Bounding
from dagc.search.bounds import Bound, rate
from dagc.search.candidate import Candidate, ServicePlan
from dagc.search.found import Tally
from dagc.search.front import Front, Vectors
from dagc.search.lines import Half, Level, Line
from dagc.search.needs import Miss, Needs
from dagc.search.table import by_promise, vectors_of
from dagc.search.verdict import Verdict

ROUND = 64
"""Bounds and prices that are asked for at once."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a search of pairs is done with.

    `judge` prices pairs and takes note of them; `share` gives the share of its device that the fullest GPU of a service
    holds; `front`, `tally` and `nearest_miss` are what is known, `room` how many more may be priced.
    """

    facts: Facts
    bounding: Bounding
    judge: Callable[[Sequence[Candidate]], Sequence[Verdict]]
    share: Callable[[ServicePlan, int], float]
    front: Front
    tally: Tally
    nearest_miss: Callable[[], float | None]
    room: Callable[[], int]


class Node(NamedTuple):
    """Places in the lines of a cell, which is told by the GPUs of both services."""

    prefill_gpus: int
    decode_gpus: int
    first: int
    second: int


class _View(NamedTuple):
    """The pair at a node, and what it misses at least."""

    node: Node
    prefill: Half
    decode: Half
    miss: Miss | None


class Pairs:
    """Pairs of services under one batch. `number` is how many there are of those that fit by their weights."""

    def __init__(
        self, means: Means, gpus: int, batch: int, prefill: Sequence[ServicePlan], decode: Sequence[ServicePlan]
    ) -> None:
        self._means, self._batch = means, batch
        self._needs = Needs(means.facts.requirements, means.facts.workload)
        self._misses: dict[tuple[float, float, float, float], Miss | None] = {}
        self._services = {
            phase: _by_gpus(services, means.bounding.first([(one, batch, 0) for one in services])[row].tolist())
            for row, (phase, services) in enumerate(((Phase.PREFILL, prefill), (Phase.DECODE, decode)))
        }
        self._lines: dict[tuple[Phase, int, int], Line] = {}
        self._shares: dict[ServicePlan, float] = {}
        self._priced: set[tuple[int, int]] = set()
        first, second = self._services[Phase.PREFILL], self._services[Phase.DECODE]
        cells = [(p, d) for p, d in product(sorted(first), sorted(second)) if p + d <= gpus]
        self.number = sum(len(first[p]) * len(second[d]) for p, d in cells)
        self._open = [Node(p, d, 0, 0) for p, d in cells]
        self._missing: list[tuple[Node, str]] = []
        self._closed = 0
        self._ahead: defaultdict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set[tuple[int, int]])

    def round(self) -> bool:
        """Close what may be closed, and work on the most promising of the rest; whether any was left."""
        views, vectors = self._seen()
        is_fallen = self._means.front.dominated(vectors)
        for i in np.flatnonzero(is_fallen).tolist():
            self._close(views[i].node)
        for i in np.flatnonzero(~is_fallen).tolist():
            if (miss := views[i].miss) is not None:
                is_fallen[i] = True
                self._missing.append((views[i].node, miss.name))
        left: list[int] = np.flatnonzero(~is_fallen).tolist()
        self._open = [views[i].node for i in left]
        order: list[int] = by_promise(vectors[left]).tolist()
        self._work([views[left[i]] for i in order])
        return bool(left)

    def nearest_round(self) -> bool:
        """The same of pairs that miss a requirement: closed is what misses by more than the nearest candidate."""
        self._open += [node for node, _ in self._missing]
        self._missing = []
        views, _ = self._seen()
        limit = self._means.nearest_miss()
        left: list[_View] = []
        for view in views:
            if limit is not None and view.miss and view.miss.miss > limit:
                self._close(view.node, view.miss.name)
            else:
                left.append(view)
        self._open = [view.node for view in left]
        self._work(sorted(left, key=lambda view: view.miss.miss if view.miss else 0.0))
        return bool(left)

    def finish(self) -> None:
        """Count as decided what misses a requirement, and with what does not fit the pairs that never had a node."""
        for node, name in self._missing:
            self._close(node, name)
        self._missing = []
        self._means.tally.over += self.number - self._closed - len(self._priced)

    # What is known

    def _seen(self) -> tuple[list[_View], Vectors]:
        """The pairs at the open nodes, and their bounds; a node past the end of a line has none."""
        places = [(n, self._prefill(n).at(n.first), self._decode(n).at(n.second)) for n in self._open]
        found = [(node, one, other) for node, one, other in places if one is not None and other is not None]
        facts = self._means.facts
        gpus = np.array([node.prefill_gpus + node.decode_gpus for node, _, _ in found], dtype=np.float64)
        ttft, tpot = np.array([(one.seconds, other.seconds) for _, one, other in found]).reshape(-1, 2).T
        starting = np.array([self._entering(node.prefill_gpus) for node, _, _ in found])
        slower = np.minimum(
            rate(starting, ttft), rate(np.full(len(found), self._batch), (facts.workload.output - 1) * tpot)
        )
        bound = Bound(ttft, tpot, facts.workload.output * slower)
        columns = (gpus.tolist(), ttft.tolist(), tpot.tolist(), bound.throughput.tolist())
        views = [_View(*place, self._miss(*row)) for place, row in zip(found, zip(*columns, strict=True), strict=True)]
        return views, vectors_of(gpus, bound, facts.cluster.usd_per_gpu_second)

    def _entering(self, prefill_gpus: int) -> int:
        """Sequences that are prefilled at once, at most."""
        is_static = self._means.facts.workload.concurrency is None
        return self._batch if is_static else min(self._batch, prefill_gpus)

    def _miss(self, gpus: float, ttft: float, tpot: float, throughput: float) -> Miss | None:
        """What a pair of this bound misses at least. Most bounds are those of the round before."""
        key = gpus, ttft, tpot, throughput
        if key not in self._misses:
            self._misses[key] = self._needs.missed(Bound(ttft, tpot, throughput), gpus)
        return self._misses[key]

    def _close(self, node: Node, missed: str | None = None) -> None:
        """Count the pairs of a node as decided, by the requirement that they miss or as dominated."""
        number = self._reached(node) - self._passed(node)
        self._closed += number
        if missed is None:
            self._means.tally.dominated += number
        else:
            self._means.tally.missed[missed] += number

    def _reached(self, node: Node) -> int:
        """Pairs that are reached through a node alone."""
        first, second = self._prefill(node), self._decode(node)
        if node.second:
            return second.left - node.second
        return (first.left - node.first) * second.left

    def _passed(self, node: Node) -> int:
        """How many of them were priced when their services had no place yet; they are counted already."""
        cell = node.prefill_gpus, node.decode_gpus
        first, second = self._prefill(node).settled, self._decode(node).settled
        before = {id(half) for half in (second[: node.second] if node.second else first[: node.first])}
        row = id(first[node.first]) if node.second else None
        reached = [
            key
            for key in self._ahead[cell]
            if (key[1] not in before and key[0] == row) or (row is None and key[0] not in before)
        ]
        self._ahead[cell].difference_update(reached)
        return len(reached)

    def _prefill(self, node: Node) -> Line:
        return self._line(Phase.PREFILL, node.prefill_gpus, 0)

    def _decode(self, node: Node) -> Line:
        """That of the decode services as they begin after the ranks of the prefill service."""
        cluster = self._means.facts.cluster
        begin = node.prefill_gpus if cluster.slowed else node.prefill_gpus % cluster.gpus_per_node
        return self._line(Phase.DECODE, node.decode_gpus, begin)

    def _line(self, phase: Phase, gpus: int, begin: int) -> Line:
        key = phase, gpus, begin
        if key not in self._lines:
            self._lines[key] = Line.of(Half(*one) for one in self._services[phase][gpus])
        return self._lines[key]

    # What is worked out

    def _work(self, views: Sequence[_View]) -> None:
        """Bounds, then prices, of the most promising pairs; then on from what is priced."""
        rough: dict[int, tuple[_View, Half]] = {}
        pairs: dict[tuple[int, int], _View] = {}
        for view in views:
            unknown = [half for half in (view.prefill, view.decode) if half.level is Level.FIRST]
            rough |= {id(half): (view, half) for half in unknown}
            if not unknown and self._fits(view):
                key = id(view.prefill), id(view.decode)
                if key in self._priced:
                    self._go_on(view)
                else:
                    pairs[key] = view
            if len(rough) + len(pairs) >= ROUND:
                break
        self._bound(list(rough.values()))
        self._price(list(pairs.values())[: self._means.room()])

    def _fits(self, view: _View) -> bool:
        """Whether both services do; one that does not leaves its line."""
        fits = True
        for line, half in ((self._prefill(view.node), view.prefill), (self._decode(view.node), view.decode)):
            if not half.is_weighed:
                service = half.service
                if service not in self._shares:
                    self._shares[service] = self._means.share(service, self._batch)
                half.is_weighed = self._shares[service] <= 1
                if not half.is_weighed:
                    line.drop(half)
            fits = fits and half.is_weighed
        return fits

    def _go_on(self, view: _View) -> None:
        """From a pair that is priced, and whose services have their places, to those behind it."""
        node = view.node
        self._ahead[node.prefill_gpus, node.decode_gpus].discard((id(view.prefill), id(view.decode)))
        self._open.remove(node)
        self._open.append(node._replace(second=node.second + 1))
        if node.second == 0:
            self._open.append(node._replace(first=node.first + 1))

    def _bound(self, rough: Sequence[tuple[_View, Half]]) -> None:
        """Precise bounds of services that have first ones."""
        if not rough:
            return
        begins = [0 if half is view.prefill else view.node.prefill_gpus for view, half in rough]
        placed = [(half.service, self._batch, begin) for (_, half), begin in zip(rough, begins, strict=True)]
        ttft, tpot = self._means.bounding.precise(placed).tolist()
        for (view, half), first, second in zip(rough, ttft, tpot, strict=True):
            if half is view.prefill:
                self._prefill(view.node).learn(half, first, Level.LEAST)
            else:
                self._decode(view.node).learn(half, second, Level.LEAST)

    def _price(self, pairs: Sequence[_View]) -> None:
        """Prices of pairs, and with them the seconds of their services; of a pair that has none they stay bounds."""
        candidates = [Candidate((view.prefill.service, view.decode.service), self._batch) for view in pairs]
        for view, verdict in zip(pairs, self._means.judge(candidates) if pairs else (), strict=True):
            key = id(view.prefill), id(view.decode)
            self._priced.add(key)
            self._ahead[view.node.prefill_gpus, view.node.decode_gpus].add(key)
            known = dict(verdict.figures)
            sides = (
                (self._prefill(view.node), view.prefill, TTFT.name),
                (self._decode(view.node), view.decode, TPOT.name),
            )
            for line, half, name in sides:
                seconds = known.get(name)
                line.learn(half, half.seconds if seconds is None else seconds, Level.FINAL)


def _by_gpus(services: Sequence[ServicePlan], seconds: Sequence[float]) -> dict[int, list[tuple[ServicePlan, float]]]:
    """Services with their first bounds by the GPUs that they take."""
    found: defaultdict[int, list[tuple[ServicePlan, float]]] = defaultdict(list)
    for one, bound in zip(services, seconds, strict=True):
        found[one.shape.gpus].append((one, bound))
    return dict(found)
