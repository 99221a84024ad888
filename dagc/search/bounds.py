"""What no schedule of a candidate can undercut, from the least times of its layers.

The least times (`dagc.timeline.least`) are those of one stage that holds all layers, for each number of sequences, with
the durations that pricing gives. A candidate of any pipeline is bounded by them, because a layer's operators are the
same in every stage; only communication depends on how a stage lies on nodes. Where stages may lie differently (a
stage that is neither a part nor a multiple of a node, pools of their own) paths of computation alone count. With path
and busy of stage s for micro-batch b so found:

    TTFT >= max over s of (sum over stages before s of path of the first b) + max(sum over b of busy, path)
                        + (sum over stages after s of path of the last b)

because stage s computes its micro-batches one after the other, none before the first has come through the stages before
it, and the last has those after it to go. A token of a sequence is made of the token before it, and every stage takes
each micro-batch once a step, so

    step >= max(sum over s of path of the largest b, max over s of sum over b of busy)

and TPOT is at least a step divided by the tokens that it yields. An experts' pool is busy for all that it serves.
Throughput follows by its definition (`dagc.report.metrics`), which falls as times grow, and a step from an empty
pipeline takes no less than an interval. Of continuous batching one sequence on a replica is taken to be decoded,
because how many run is a matter of memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import inf

import numpy as np

from dagc.engines.splits import split_layers
from dagc.graph.priced import PICOSECONDS, Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.plan.splits import split
from dagc.search.candidate import Candidate, Form, ServicePlan, Shape
from dagc.timeline.least import BESIDE, BUSY, COMPUTING, PATH


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds that a candidate takes at least, and output tokens a second that it yields at most."""

    ttft: float
    tpot: float
    throughput: float


@dataclass(frozen=True, slots=True)
class Cut:
    """What least times depend on, beside the number of sequences: how a stage is cut, its options, and its place.

    `begin` is the rank of a node at which its ranks begin.
    """

    shape: Shape
    options: Options
    begin: int = 0

    @property
    def service(self) -> ServicePlan:
        """One stage of all layers."""
        return ServicePlan(self.shape, self.options)


Asked = tuple[Cut, int]
"""A cut and the sequences of a micro-batch."""

LeastTimes = Callable[[Asked, Phase], Picoseconds]
"""Least times of a cut in a phase, as `dagc.timeline.least.least` has them."""


def cut_of(service: ServicePlan, begin: int = 0) -> Cut:
    """The cut of a stage of a service that begins at a rank of a node."""
    shape = service.shape
    form = Form.SHARED if shape.form is Form.SHARED else Form.BESIDE_STAGE
    options = replace(service.options, micro=None, layers=None)
    return Cut(Shape(1, 1, shape.attention, shape.experts, form), options, begin)


class Bounds:
    """Bounds of candidates under the facts of one plan, whose model has shapes."""

    def __init__(self, facts: Facts, times: LeastTimes) -> None:
        shapes = facts.model.shapes()
        if shapes is None:
            raise ValueError("bounds need a model with shapes")
        self._facts, self._layers, self._times = facts, shapes.layers, times
        self._ends = cache(self._stage_ends)

    def of(self, candidate: Candidate) -> Bound:
        """The bound of a candidate."""
        first, last = candidate.services[0], candidate.services[-1]
        start = sum(service.shape.gpus for service in candidate.services[:-1])
        ttft, tpot = self.ttft(first, candidate.batch), self.tpot(last, candidate.batch, start)
        if len(candidate.services) > 1:
            return Bound(ttft, tpot, self.pair_rate(first, candidate.batch, ttft, tpot))
        output = self._facts.workload.output
        return Bound(ttft, tpot, output * _over(candidate.batch, ttft + (output - 1) * tpot))

    def ttft(self, service: ServicePlan, batch: int) -> float:
        """Seconds until the first token at least."""
        return self._prefill(service, -(-self._entering(service, batch) // service.shape.replicas))

    def tpot(self, service: ServicePlan, batch: int, start: int) -> float:
        """Seconds of an output token at least, of a service that begins at a rank."""
        held = -(-self._held(batch) // service.shape.replicas)
        return self._step(service, held, start) / self._facts.workload.tokens_per_step

    def pair_rate(self, prefill: ServicePlan, batch: int, ttft: float, tpot: float) -> float:
        """Output tokens a second at most, of a prefill service beside a decode service of these seconds."""
        output = self._facts.workload.output
        return output * min(_over(self._entering(prefill, batch), ttft), _over(batch, (output - 1) * tpot))

    def asked(self, candidate: Candidate) -> Iterator[Asked]:
        """The least times that the bound of a candidate needs."""
        start = sum(service.shape.gpus for service in candidate.services[:-1])
        yield from self.asked_of(candidate.services[0], candidate.batch, Phase.PREFILL)
        yield from self.asked_of(candidate.services[-1], candidate.batch, Phase.DECODE, start)

    def asked_of(self, service: ServicePlan, batch: int, phase: Phase, start: int = 0) -> Iterator[Asked]:
        """The least times that the bound of a service needs in one phase, where it begins at a rank."""
        sequences = self._entering(service, batch) if phase is Phase.PREFILL else self._held(batch)
        for size in _sizes(service, -(-sequences // service.shape.replicas)):
            for begin in dict.fromkeys(self._begins(service.shape, start) or (0,)):
                yield cut_of(service, begin), size

    def _entering(self, service: ServicePlan, batch: int) -> int:
        """Sequences that enter at once in the whole deployment."""
        if self._facts.workload.concurrency is None:
            return batch
        return min(batch, service.shape.replicas * service.shape.attention.dp)

    def _held(self, batch: int) -> int:
        """Sequences that are decoded at least."""
        return batch if self._facts.workload.concurrency is None else 1

    def _prefill(self, service: ServicePlan, sequences: int) -> float:
        """Seconds of a prefill at least."""
        sizes = _sizes(service, sequences)
        times = {size: self._stages(service, size, Phase.PREFILL) for size in sizes}
        first, last = times[max(sizes)][PATH], times[min(sizes)][PATH]
        whole = _sum(times, sizes)
        before, after = np.cumsum(first) - first, last.sum() - np.cumsum(last)
        longest = int((before + np.maximum(whole[BUSY], first) + after).max())
        return max(longest, _beside(service, whole)) / PICOSECONDS

    def _step(self, service: ServicePlan, sequences: int, start: int) -> float:
        """Seconds of a decode step at least, of a service that begins at a rank."""
        sizes = _sizes(service, sequences)
        times = {size: self._stages(service, size, Phase.DECODE, start) for size in sizes}
        passed = max(int(stages[PATH].sum()) for stages in times.values())
        whole = _sum(times, sizes)
        return max(passed, int(whole[BUSY].max()), _beside(service, whole)) / PICOSECONDS

    def _stages(self, service: ServicePlan, sequences: int, phase: Phase, start: int = 0) -> Picoseconds:
        """Least times of each stage for one micro-batch, shape (4, stages)."""
        shape = service.shape
        ends, begins = self._ends(shape.stages, shape.layers), self._begins(shape, start)
        if begins is None:
            times = np.diff(self._times((cut_of(service), sequences), phase)[:, ends])
            times[PATH] = times[COMPUTING]
            return times
        each = {begin: self._times((cut_of(service, begin), sequences), phase) for begin in dict.fromkeys(begins)}
        return np.stack(
            [each[begin][:, b] - each[begin][:, a] for begin, a, b in zip(begins, ends, ends[1:], strict=False)], axis=1
        )

    def _begins(self, shape: Shape, start: int) -> tuple[int, ...] | None:
        """The rank of its node at which each stage begins; None where that does not tell how a stage lies."""
        node, stages = self._facts.cluster.gpus_per_node, shape.stages
        if stages == 1 and shape.form is not Form.BESIDE_REPLICA:
            return (start % node,)
        if shape.form is Form.SHARED and self._facts.engine is None:
            return tuple((start + stage * shape.attention.size) % node for stage in range(stages))
        return None

    def _stage_ends(self, stages: int, layers: tuple[int, ...] | None) -> list[int]:
        """Layers before each stage, and all."""
        engine = self._facts.engine
        even = split_layers(self._layers, stages, engine.layer_split) if engine else split(self._layers, stages)
        ends = [0]
        for count in layers or even:
            ends.append(ends[-1] + count)
        return ends


def _sum(times: dict[int, Picoseconds], sizes: Counter[int]) -> Picoseconds:
    """Over all micro-batches."""
    return sum((count * times[size] for size, count in sizes.items()), np.zeros((4, 1), dtype=np.int64))


def _beside(service: ServicePlan, whole: Picoseconds) -> int:
    """Picoseconds of the busiest pool of experts."""
    busy = whole[BESIDE]
    return int(busy.sum() if service.shape.form is Form.BESIDE_REPLICA else busy.max())


def _sizes(service: ServicePlan, sequences: int) -> Counter[int]:
    """How many micro-batches there are of each number of sequences."""
    sequences = max(1, sequences)
    count = max(1, min(service.options.micro or service.shape.stages, sequences))
    return Counter(split(sequences, count))


def _over(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else inf
