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
    """What least times depend on, beside the number of sequences: how a stage is cut, and its options."""

    shape: Shape
    options: Options

    @property
    def service(self) -> ServicePlan:
        """One stage of all layers."""
        return ServicePlan(self.shape, self.options)


PHASES = (Phase.PREFILL, Phase.DECODE)
"""Phases in the order in which least times have them."""

Asked = tuple[Cut, int]
"""A cut and the sequences of a micro-batch."""

LeastTimes = Callable[[Asked, Phase], Picoseconds]
"""Least times of a cut in a phase, as `dagc.timeline.least.least` has them."""


def cut_of(service: ServicePlan) -> Cut:
    """The cut of a service."""
    shape = service.shape
    form = Form.SHARED if shape.form is Form.SHARED else Form.BESIDE_STAGE
    options = replace(service.options, micro=None, layers=None)
    return Cut(Shape(1, 1, shape.attention, shape.experts, form), options)


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
        workload, (first, last) = self._facts.workload, (candidate.services[0], candidate.services[-1])
        entering, held = self._sequences(candidate)
        ttft = self._prefill(first, -(-entering // first.shape.replicas))
        start = sum(service.shape.gpus for service in candidate.services[:-1])
        tpot = self._step(last, -(-held // last.shape.replicas), start) / workload.tokens_per_step
        output = workload.output
        if len(candidate.services) > 1:
            rate = min(_over(entering, ttft), _over(candidate.batch, (output - 1) * tpot))
        else:
            rate = _over(candidate.batch, ttft + (output - 1) * tpot)
        return Bound(ttft, tpot, output * rate)

    def asked(self, candidate: Candidate) -> Iterator[Asked]:
        """The least times that the bound of a candidate needs."""
        first, last = candidate.services[0], candidate.services[-1]
        for service, sequences in zip((first, last), self._sequences(candidate), strict=True):
            for size in _sizes(service, -(-sequences // service.shape.replicas)):
                yield cut_of(service), size

    def _sequences(self, candidate: Candidate) -> tuple[int, int]:
        """Sequences of the whole deployment that enter at once, and that are decoded at least."""
        if self._facts.workload.concurrency is None:
            return candidate.batch, candidate.batch
        first = candidate.services[0].shape
        return min(candidate.batch, first.replicas * first.attention.dp), 1

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
        times = np.diff(self._times((cut_of(service), sequences), phase)[:, self._ends(shape.stages, shape.layers)])
        if not self._lies_alike(shape, start):
            times[PATH] = times[COMPUTING]
        return times

    def _lies_alike(self, shape: Shape, start: int) -> bool:
        """Whether every stage lies on nodes as one that holds all layers and begins with a node."""
        node, width = self._facts.cluster.gpus_per_node, shape.attention.size
        if start % node:
            return False
        if shape.stages == 1 and shape.form is not Form.BESIDE_REPLICA:
            return True
        is_plain = shape.form is Form.SHARED and self._facts.engine is None
        return is_plain and (node % width == 0 or width % node == 0)

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
