"""What services of any size yield at most, and strategies whose ranks are cut as those of these bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from dagc.degrees import Degrees
from dagc.plan.deployment import Options, Phase
from dagc.search.candidate import Candidate, ServicePlan, ServiceShape
from dagc.search.goal import SLACK
from dagc.search.rank_times import AttentionClass, ExpertsClass
from dagc.search.space import Space

MOST_SEQUENCES = 512
"""On a GPU of a strategy that shows a bound."""


@dataclass(frozen=True, slots=True)
class Yield:
    """Requests a second that a GPU yields at most with no more than so many sequences; `shape` is of a rank with it."""

    sequences: float
    requests: float
    attention: AttentionClass
    experts: ExpertsClass


@dataclass(frozen=True, slots=True)
class Yields:
    """What services of any size yield, by phase; in rising order of sequences, and of requests."""

    batch: int
    output: int
    gpus: int
    floor: float
    rows: dict[Phase, tuple[Yield, ...]]

    def at(self, phase: Phase, gpus: int) -> Yield:
        """What is known of services of so many GPUs."""
        load = self.batch / gpus * (1 - SLACK)
        return next((one for one in self.rows[phase] if one.sequences >= load), self.rows[phase][-1])

    def of_size(self, gpus: int) -> float:
        """Output tokens a second of a service for both phases."""
        return self.output * gpus * max(self.floor, self.at(Phase.BOTH, gpus).requests)

    def of_pair(self, prefill: int, decode: int) -> float:
        """Output tokens a second of two services."""
        first, last = self.at(Phase.PREFILL, prefill).requests, self.at(Phase.DECODE, decode).requests
        decoded = max(decode * last, self.floor * max(decode, self.gpus))
        return self.output * min(prefill * first, decoded)


def shape_of(attention: AttentionClass, experts: ExpertsClass, gpus: int = 1) -> ServiceShape:
    """The smallest stage of ranks of these classes, of some GPUs at least."""
    ranks = attention.tp * attention.most
    width = lcm(ranks, experts.degrees.width)
    width *= max(1, -(-gpus // width))
    return ServiceShape(1, 1, Degrees(tp=attention.tp, cp=attention.most, dp=width // ranks), experts.degrees)


def witness_of(one: Yield, phase: Phase, prefill: Yield) -> tuple[Candidate, int]:
    """A strategy of which the service of a phase has the ranks of a bound and as many sequences, and its GPUs."""
    first, last = (shape_of(each.attention, each.experts) for each in (prefill, one))
    options = Options(overlap=one.experts.overlap)
    batch = max(1, int(min(one.sequences, MOST_SEQUENCES) * last.gpus))
    if phase is Phase.BOTH:
        return Candidate((ServicePlan(last, options, phase),), batch), last.gpus
    beside = ServicePlan(first, Options(overlap=prefill.experts.overlap), Phase.PREFILL)
    if phase is Phase.DECODE:
        return Candidate((beside, ServicePlan(last, options, phase)), batch), last.gpus
    return Candidate((beside, ServicePlan(first, phase=Phase.DECODE)), first.gpus), first.gpus


def likely_pairs(space: Space, node: int) -> list[Candidate]:
    """Pairs on all GPUs that often yield much: prefill with ep in a node, decode with a power of two of ep."""
    plain = AttentionClass(1, 1, 1)
    first = shape_of(plain, ExpertsClass(Degrees(ep=max(1, min(node, space.experts))), 1))
    found: dict[tuple[int, int], Candidate] = {}
    for power in range(4, min(space.experts, space.gpus).bit_length()):
        last = shape_of(plain, ExpertsClass(Degrees(ep=1 << power), 1))
        for share in SHARES:
            decode = round(share * space.gpus / last.gpus) * last.gpus
            prefill = space.gpus - decode
            if prefill > 0 and decode > 0 and prefill % first.gpus == 0:
                pair = (
                    ServicePlan(replace(first, replicas=prefill // first.gpus), phase=Phase.PREFILL),
                    ServicePlan(replace(last, replicas=decode // last.gpus), phase=Phase.DECODE),
                )
                found[prefill, last.gpus] = Candidate(pair, space.batches[0])
    return list(found.values())


SHARES = (0.5, 0.62, 0.69, 0.75, 0.81, 0.88)
"""Shares of the GPUs that decode of which pairs are tried."""
