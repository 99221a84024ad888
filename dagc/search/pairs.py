"""Prefill beside decode: services are priced apart, and joined to pairs of which few are made.

What a pair is judged by comes from its two services. TTFT is that of the prefill service. TPOT is that of the decode
service, which differs only with the rank of a node at which its ranks begin. With B sequences, of which E are prefilled
at once, O output tokens and seconds or bounds on them of these two, throughput is at most
O x min(E / TTFT, B / ((O - 1) x TPOT)); the KV-cache transfer can only lower it. E is B, or, where requests come
and go, no more than what the GPUs of the prefill service have room for in a step. So of services that take the same
GPUs, in rising order of their seconds, no pair has a better bound in any objective than one with neither place behind
its own: where a pair is closed, so is every pair with no place before it.

The pairs of p GPUs for prefill and d for decode are a cell, and each cell is walked from its first pair: from (i, j) on
to (i, j + 1), and from (i, 0) to (i + 1, 0) also. A node represents the pairs that are reached through it alone, so
that closing it closes them, and counts them once. A pair is priced as a whole, with the transfer and all that
requirements ask, where the prices of its services leave it open.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heapreplace
from itertools import product
from typing import NamedTuple

import numpy as np

from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.search.bounds import Miss, TimeBound, misses_of, prompt_ranks, prompts_of_step, rate, vectors_of
from dagc.search.candidate import Candidate, ServicePlan
from dagc.search.front import Vectors, by_promise
from dagc.search.incumbents import Incumbents
from dagc.search.space import Space

ROUND = 64
"""Candidates of a round, and services that are priced at once."""

Placed = tuple[ServicePlan, int, int]
"""A service, the batch of the deployment, and the rank at which the service begins."""

SecondsOf = Callable[[Sequence[Placed]], list[float]]
"""Takes services to the TTFT of a prefill without the transfer, and the TPOT of a decode; infinite where one does not
fit, 0 where it has no price."""

Bounded = tuple[ServicePlan, float]
"""A service with its seconds, or a lower bound on them."""


@dataclass(slots=True, eq=False)
class ServiceQueue:
    """Services that take the same GPUs, and, of a decode, begin alike on their node, in the order of their seconds.

    Settled from its front: a service takes its place once it is priced and none behind it can be faster. So
    places read in order have rising seconds, and the services behind the last place that was read are not priced.
    """

    settled: list[Bounded] = field(default_factory=list["Bounded"])
    _waiting: list[tuple[float, int, ServicePlan, bool]] = field(
        default_factory=list[tuple[float, int, ServicePlan, bool]]
    )

    @classmethod
    def of(cls, services: Iterable[Bounded]) -> ServiceQueue:
        """A queue of which no place is settled."""
        waiting = [(seconds, number, one, False) for number, (one, seconds) in enumerate(services)]
        heapify(waiting)
        return cls(_waiting=waiting)

    @property
    def left(self) -> int:
        """Services in the queue."""
        return len(self.settled) + len(self._waiting)

    def at(self, place: int) -> Bounded | None:
        """The service there, or, at the first place that is not settled, that which may be; None past the end.

        Places are asked for in order: none beyond the first that is not settled.
        """
        if place < len(self.settled):
            return self.settled[place]
        return (self._waiting[0][2], self._waiting[0][0]) if self._waiting else None

    def learn(self, seconds: float) -> None:
        """Note the price of the first that waits, which leaves the queue where it is infinite. A price below the bound
        counts as the bound.
        """
        bound, number, service, _ = self._waiting[0]
        heapreplace(self._waiting, (max(seconds, bound), number, service, True))
        while self._waiting and self._waiting[0][3]:
            found, _, service, _ = heappop(self._waiting)
            if found < math.inf:
                self.settled.append((service, found))


class PairNode(NamedTuple):
    """Places in the queues of a cell, which is known by the GPUs of both services."""

    prefill_gpus: int
    decode_gpus: int
    first: int
    second: int


class _View(NamedTuple):
    """The pair at a node, and what it misses at least."""

    node: PairNode
    prefill: Bounded
    decode: Bounded
    miss: Miss | None


class Pairs:
    """Pairs of services under one batch. `number` is how many there are of those that fit by their weights."""

    def __init__(
        self, facts: Facts, incumbents: Incumbents, seconds_of: SecondsOf, space: Space, batch: int,
        prefill: Iterable[Bounded], decode: Iterable[Bounded],
    ) -> None:  # fmt: skip
        self._facts, self._incumbents, self._seconds_of, self._batch = facts, incumbents, seconds_of, batch
        self._services = {Phase.PREFILL: _by_gpus(prefill), Phase.DECODE: _by_gpus(decode)}
        self._queues: dict[tuple[Phase, int, int], ServiceQueue] = {}
        by_gpus = self._services[Phase.PREFILL].items()
        self._ranks = {gpus: max(prompt_ranks(facts, one.shape) for one, _ in services) for gpus, services in by_gpus}
        first, second = self._services[Phase.PREFILL], self._services[Phase.DECODE]
        cells = [(p, d) for p, d in product(sorted(first), sorted(second)) if space.fewest <= p + d <= space.gpus]
        self.number = sum(len(first[p]) * len(second[d]) for p, d in cells)
        self._open = [PairNode(p, d, 0, 0) for p, d in cells]
        self._missing: list[tuple[PairNode, str]] = []
        self._decided = 0

    def round(self) -> bool:
        """Close what may be closed, and work on the most promising of the rest; whether any was left."""
        views, vectors = self._seen()
        is_left = ~self._incumbents.front.dominated(vectors)
        for view, is_open in zip(views, is_left.tolist(), strict=True):
            if not is_open:
                self._close(view.node)
            elif view.miss:
                self._missing.append((view.node, view.miss.name))
        is_left &= np.array([view.miss is None for view in views], dtype=np.bool_)
        left = [view for view, is_open in zip(views, is_left.tolist(), strict=True) if is_open]
        order: list[int] = by_promise(vectors[is_left]).tolist()
        self._work([left[i] for i in order])
        return bool(left)

    def nearest_round(self) -> bool:
        """The same of pairs that miss a requirement: closed is what misses by more than the nearest candidate."""
        self._open += [node for node, _ in self._missing]
        self._missing = []
        views, _ = self._seen()
        nearest = self._incumbents.nearest
        left: list[_View] = []
        for view in views:
            if nearest and view.miss and view.miss.miss > nearest.verdict.miss:
                self._close(view.node, view.miss.name)
            else:
                left.append(view)
        self._work(sorted(left, key=lambda view: view.miss.miss if view.miss else 0.0))
        return bool(left)

    def finish(self) -> None:
        """Count as decided what misses a requirement, and with what does not fit the pairs that never had a node."""
        for node, name in self._missing:
            self._close(node, name)
        self._missing = []
        self._incumbents.tally.over += self.number - self._decided

    def _seen(self) -> tuple[list[_View], Vectors]:
        """The pairs at the open nodes, and their bounds; a node past the end of a queue has none."""
        places = [(node, self._prefill(node).at(node.first), self._decode(node).at(node.second)) for node in self._open]
        found = [(node, one, other) for node, one, other in places if one and other]
        workload, batch = self._facts.workload, self._batch
        nodes = np.array([node for node, _, _ in found], dtype=np.float64).reshape(-1, 4)
        gpus = nodes[:, :2].sum(axis=1)
        ttft, tpot = np.array([(one[1], other[1]) for _, one, other in found]).reshape(-1, 2).T
        entering = np.full(len(found), batch)
        if workload.concurrency is not None:
            entering = np.minimum(batch, nodes[:, 0] * prompts_of_step(self._facts, 1))
        slower = np.minimum(rate(entering, ttft), rate(np.full(len(found), batch), (workload.output - 1) * tpot))
        bound = TimeBound(ttft, tpot, workload.output * slower)
        # Later services of a queue may have more ranks of attention, so the most of any of so many GPUs count.
        ranks = np.array([self._ranks[node.prefill_gpus] for node, _, _ in found], dtype=np.float64)
        misses = misses_of(self._facts, replace(bound, ttft=ttft / ranks), gpus)
        views = [_View(*place, miss) for place, miss in zip(found, misses, strict=True)]
        return views, vectors_of(gpus, bound, self._facts.cluster.usd_per_gpu_second)

    def _work(self, views: Sequence[_View]) -> None:
        """Prices of services, and of pairs whose services have theirs, of the most promising; `views` stay open."""
        self._open = [view.node for view in views]
        services: dict[int, tuple[ServiceQueue, Placed]] = {}
        pairs: list[_View] = []
        for view in views:
            node = view.node
            unsettled = [
                (queue, (service, self._batch, begin))
                for queue, place, (service, _), begin in (
                    (self._prefill(node), node.first, view.prefill, 0),
                    (self._decode(node), node.second, view.decode, node.prefill_gpus),
                )
                if place == len(queue.settled)
            ]
            services |= {id(queue): (queue, placed) for queue, placed in unsettled}
            if not unsettled:
                pairs.append(view)
            if len(services) + len(pairs) >= ROUND:
                break
        asked = list(services.values())
        number = len(asked) + len(pairs)
        if self._incumbents.budget.take(number) < number:
            return
        for (queue, _), seconds in zip(asked, self._seconds_of([placed for _, placed in asked]), strict=True):
            queue.learn(seconds)
        self._price(pairs)

    def _price(self, views: Sequence[_View]) -> None:
        """Prices of pairs; their nodes go on to the pairs behind them."""
        self._decided += len(views)
        if views:
            self._incumbents.judge([Candidate((view.prefill[0], view.decode[0]), self._batch) for view in views])
        done = [view.node for view in views]
        self._open = [node for node in self._open if node not in set(done)]
        self._open += [node._replace(second=node.second + 1) for node in done]
        self._open += [node._replace(first=node.first + 1) for node in done if node.second == 0]

    def _close(self, node: PairNode, missed: str | None = None) -> None:
        """Count the pairs of a node as decided, by the requirement that they miss or as dominated."""
        first, second = self._prefill(node).left, self._decode(node).left
        number = second - node.second if node.second else (first - node.first) * second
        self._decided += number
        if missed is None:
            self._incumbents.tally.dominated += number
        else:
            self._incumbents.tally.missed[missed] += number

    def _prefill(self, node: PairNode) -> ServiceQueue:
        return self._queue(Phase.PREFILL, node.prefill_gpus, 0)

    def _decode(self, node: PairNode) -> ServiceQueue:
        """That of the decode services as they begin after the ranks of the prefill service."""
        cluster = self._facts.cluster
        begin = node.prefill_gpus if cluster.slowed else node.prefill_gpus % cluster.gpus_per_node
        return self._queue(Phase.DECODE, node.decode_gpus, begin)

    def _queue(self, phase: Phase, gpus: int, begin: int) -> ServiceQueue:
        key = phase, gpus, begin
        if key not in self._queues:
            self._queues[key] = ServiceQueue.of(self._services[phase][gpus])
        return self._queues[key]


def _by_gpus(services: Iterable[Bounded]) -> dict[int, list[Bounded]]:
    """Services by the GPUs that they take."""
    found: defaultdict[int, list[Bounded]] = defaultdict(list)
    for one in services:
        found[one[0].shape.gpus].append(one)
    return dict(found)
