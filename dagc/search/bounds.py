"""What no schedule of a candidate can undercut, from the least times of its layers.

The least times (`dagc.timeline.least`) are those of one stage that holds all layers, for each number of sequences, with
the durations that pricing gives; less precise ones (`dagc.driver.computing`) give a first bound. A candidate of any
pipeline is bounded by them, because a layer's operators are the same in every stage; only communication depends on how
a stage lies on nodes. Where stages may lie differently (a stage that is neither a part nor a multiple of a node, pools
of their own) paths of computation alone count. With path and busy of stage s for micro-batch b so found:

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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dagc.engines.splits import split_layers
from dagc.graph.priced import PICOSECONDS, Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.plan.splits import split
from dagc.search.candidate import Candidate, Form, ServicePlan, Shape
from dagc.timeline.least import BESIDE, BUSY, COMPUTING, PATH

PHASES = (Phase.PREFILL, Phase.DECODE)
"""Phases in the order in which least times have them."""

Figures = npt.NDArray[np.float64]


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


Asked = tuple[Cut, int]
"""A cut and the sequences of a micro-batch."""


@dataclass(frozen=True, slots=True, eq=False)
class LeastTimes:
    """Least times of cuts, shape (asked, phases, 4, layers + 1), and the place of each."""

    index: dict[Asked, int]
    rows: Picoseconds


def cut_of(service: ServicePlan) -> Cut:
    """The cut of a service."""
    shape = service.shape
    form = Form.SHARED if shape.form is Form.SHARED else Form.BESIDE_STAGE
    options = replace(service.options, micro=None, layers=None)
    return Cut(Shape(1, 1, shape.attention, shape.experts, form), options)


class Bounds:
    """Bounds of candidates under the facts of one plan, whose model has shapes."""

    def __init__(self, facts: Facts) -> None:
        shapes = facts.model.shapes()
        if shapes is None:
            raise ValueError("bounds need a model with shapes")
        self._facts, self._layers = facts, shapes.layers
        self._ends = cache(self._stage_ends)

    def asked(self, candidate: Candidate) -> Iterator[Asked]:
        """The least times that the bound of a candidate needs."""
        first, last = candidate.services[0], candidate.services[-1]
        entering, held = self._sequences(candidate)
        runs = ((first, entering), (last, held))
        for service, sequences in runs[:1] if first is last and entering == held else runs:
            cut, sizes = cut_of(service), _sizes(service, -(-sequences // service.shape.replicas))
            yield from ((cut, size) for size in dict.fromkeys((sizes.larger, sizes.smaller)))

    def of(self, candidates: Sequence[Candidate], times: LeastTimes) -> tuple[Figures, Figures, Figures]:
        """The bounds of candidates: TTFT, TPOT and throughput, each of shape (candidates,)."""
        workload, runs = self._facts.workload, _Runs(times.index)
        pairs = np.array([self._runs(candidate, runs) for candidate in candidates])
        ttft, step = self._seconds(runs, times.rows)
        ttft, tpot = ttft[pairs[:, 0]], step[pairs[:, 1]] / workload.tokens_per_step
        entering = np.array([self._sequences(one)[0] for one in candidates])
        batch = np.array([one.batch for one in candidates])
        decoding = (workload.output - 1) * tpot
        apart = np.minimum(_over(entering, ttft), _over(batch, decoding))
        has_pools = np.array([len(one.services) > 1 for one in candidates])
        return ttft, tpot, workload.output * np.where(has_pools, apart, _over(batch, ttft + decoding))

    def _runs(self, candidate: Candidate, runs: _Runs) -> tuple[int, int]:
        """The runs of the first and of the last service."""
        first, last = candidate.services[0], candidate.services[-1]
        entering, held = self._sequences(candidate)
        prefill = runs.add(first, -(-entering // first.shape.replicas), self._lies_alike(first.shape, 0))
        if first is last and entering == held:
            return prefill, prefill
        start = sum(service.shape.gpus for service in candidate.services[:-1])
        return prefill, runs.add(last, -(-held // last.shape.replicas), self._lies_alike(last.shape, start))

    def _sequences(self, candidate: Candidate) -> tuple[int, int]:
        """Sequences of the whole deployment that enter at once, and that are decoded at least."""
        if self._facts.workload.concurrency is None:
            return candidate.batch, candidate.batch
        first = candidate.services[0].shape
        return min(candidate.batch, first.replicas * first.attention.dp), 1

    def _seconds(self, runs: _Runs, rows: Picoseconds) -> tuple[Figures, Figures]:
        """Seconds of a prefill, and of a decode step, of each run at least; of runs with the same stages at once."""
        found = np.zeros((2, len(runs.found)))
        for (stages, layers), members in runs.by_stages.items():
            numbers: Picoseconds = np.array([runs.found[i] for i in members])
            larger, many, smaller, few = (numbers[:, at] for at in range(4))
            is_elsewhere, is_one_pool = numbers[:, 4] == 0, numbers[:, 5] == 1
            ends = self._ends(stages, layers)
            for at, work in enumerate((_prefill, _step)):
                high, low = (np.diff(rows[one, at][:, :, ends]) for one in (larger, smaller))
                for times in (high, low):
                    times[is_elsewhere, PATH] = times[is_elsewhere, COMPUTING]
                whole = many[:, None, None] * high + few[:, None, None] * low
                pool: Picoseconds = whole[:, BESIDE].max(axis=1)
                pool[is_one_pool] = whole[is_one_pool, BESIDE].sum(axis=1)
                found[at, members] = np.maximum(work(high[:, PATH], low[:, PATH], whole[:, BUSY]), pool) / PICOSECONDS
        return found[0], found[1]

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


class _Sizes(NamedTuple):
    """Sequences of micro-batches, of which there are two numbers at most, and how many have each."""

    larger: int
    many: int
    smaller: int
    few: int


@dataclass(slots=True)
class _Runs:
    """Services with the sequences that they run, each once.

    Of each is `found` where the times of its larger micro-batches are, how many it has, both of the smaller ones,
    whether it lies alike (`Bounds._lies_alike`) and whether one pool of experts serves all its stages. Services are
    known by who they are: those who run them hold them.
    """

    index: dict[Asked, int]
    found: list[tuple[int, int, int, int, bool, bool]] = field(
        default_factory=list["tuple[int, int, int, int, bool, bool]"]
    )
    by_stages: dict[tuple[int, tuple[int, ...] | None], list[int]] = field(
        default_factory=dict["tuple[int, tuple[int, ...] | None]", list[int]]
    )
    _known: dict[tuple[int, int, bool], int] = field(default_factory=dict["tuple[int, int, bool]", int])

    def add(self, service: ServicePlan, sequences: int, is_alike: bool) -> int:
        """The number of a run."""
        key = id(service), sequences, is_alike
        if key not in self._known:
            number = self._known[key] = len(self.found)
            shape, cut, sizes = service.shape, cut_of(service), _sizes(service, sequences)
            larger, smaller = self.index[cut, sizes.larger], self.index[cut, sizes.smaller]
            is_one_pool = shape.form is Form.BESIDE_REPLICA
            self.found.append((larger, sizes.many, smaller, sizes.few, is_alike, is_one_pool))
            self.by_stages.setdefault((shape.stages, shape.layers), []).append(number)
        return self._known[key]


def _prefill(larger: Picoseconds, smaller: Picoseconds, busy: Picoseconds) -> Picoseconds:
    """Picoseconds of a prefill, of paths of the first and last micro-batch and busy with all, shape (runs, stages)."""
    before = np.cumsum(larger, axis=1) - larger
    after = smaller.sum(axis=1, keepdims=True) - np.cumsum(smaller, axis=1)
    return (before + np.maximum(busy, larger) + after).max(axis=1)


def _step(larger: Picoseconds, smaller: Picoseconds, busy: Picoseconds) -> Picoseconds:
    """Picoseconds of a decode step."""
    passed = np.maximum(larger.sum(axis=1), smaller.sum(axis=1))
    return np.maximum(passed, busy.max(axis=1))


def _sizes(service: ServicePlan, sequences: int) -> _Sizes:
    """How many micro-batches there are of each number of sequences."""
    sequences = max(1, sequences)
    count = max(1, min(service.options.micro or service.shape.stages, sequences))
    each, rest = divmod(sequences, count)
    return _Sizes(each + 1, rest, each, count - rest) if rest else _Sizes(each, count, each, 0)


def _over(amount: npt.NDArray[np.int64], seconds: Figures) -> Figures:
    return np.divide(amount, seconds, out=np.full(len(seconds), np.inf), where=seconds > 0)
