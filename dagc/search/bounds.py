"""What no schedule of a candidate can undercut, from the least times of its layers.

The least times (`dagc.schedule.lower_bound`, or `dagc.driver.computing` for a first bound) are of one stage that holds
all layers, for each number of sequences, with the durations that pricing gives. A candidate of any pipeline is bounded
by them, because a layer's operators are the same in every stage; only communication depends on how a stage lies on
nodes, which the rank of a node at which it begins tells. Where that does not tell it (stages whose ranks an engine
deals out, pools of their own in a pipeline) paths of computation alone count, as they do in a first bound. With path
and busy of stage s for micro-batch b so found:

    TTFT >= max over s of (sum over stages before s of path of the first b) + max(sum over b of busy, path)
                        + (sum over stages after s of path of the last b)

because stage s computes its micro-batches one after the other, none before the first has come through the stages before
it, and the last has those after it to go. A token of a sequence is made of the token before it, and every stage takes
each micro-batch once a step, so

    step >= max(sum over s of path of the largest b, max over s of sum over b of busy)

and TPOT is at least a step divided by the tokens that it yields. An experts' pool is busy for all that it serves.
Throughput follows by its definition (`dagc.report.metrics`), which falls as times grow, and a step from an idle
pipeline takes no less than an interval. Of continuous batching one sequence on a replica is taken to be decoded,
because how many run is a matter of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import PICOSECONDS, Picoseconds
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.schedule.lower_bound import BESIDE, BUSY, COMPUTING, PATH
from dagc.search.candidate import Form, ServicePlan, Shape

PHASES = (Phase.PREFILL, Phase.DECODE)
"""Phases in the order in which least times have them."""

MOST_CUTS = 1 << 17
"""Cuts of services that are held."""

Figures = npt.NDArray[np.float64]
Figure = TypeVar("Figure", float, Figures)


@dataclass(frozen=True, slots=True)
class Bound(Generic[Figure]):
    """Seconds that a candidate takes at least, and output tokens a second that it yields at most; or those of many."""

    ttft: Figure
    tpot: Figure
    throughput: Figure


@dataclass(frozen=True, slots=True)
class Cut:
    """What least times depend on, beside the number of sequences: how a stage is cut, its options, and its place.

    `begin` is the rank of a node at which its ranks begin. Of a `phase` alone the times of the other are 0. Its hash is
    worked out once, because cuts are looked up far more often than made.
    """

    shape: Shape
    options: Options
    begin: int = 0
    phase: Phase = Phase.BOTH
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work the hash out."""
        object.__setattr__(self, "_hash", hash((self.shape, self.options, self.begin, self.phase)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Cut, (self.shape, self.options, self.begin, self.phase)

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


Placed = tuple[ServicePlan, int, int]
"""A service, the batch of the deployment, and the rank at which the service begins."""


def cut_of(service: ServicePlan, begin: int = 0) -> Cut:
    """The cut of a stage of a service that begins at a rank of a node."""
    shape = service.shape
    form = Form.SHARED if shape.form is Form.SHARED else Form.BESIDE_STAGE
    return Cut(Shape(1, 1, shape.attention, shape.experts, form), _of_stage(service.options), begin, service.phase)


@lru_cache(maxsize=1024)
def _of_stage(options: Options) -> Options:
    """Options without those that tell how there are several stages."""
    return replace(options, micro=None, layers=None)


class Bounds:
    """Bounds of services under the facts of one plan, whose model has shapes; by computation alone where `is_first`."""

    def __init__(self, facts: Facts, *, is_first: bool = False) -> None:
        shapes = facts.model.shapes()
        if shapes is None:
            raise ValueError("bounds need a model with shapes")
        self._facts, self._layers, self._is_first = facts, shapes.layers, is_first
        self._ends = cache(self._stage_ends)
        self._cuts: dict[tuple[int, int, Phase, int], tuple[Shape, Options, Cut]] = {}

    def asked(self, placed: Placed) -> Iterator[Asked]:
        """The least times that the bounds of a service need."""
        service, batch, start = placed
        begins = dict.fromkeys(self._begins(service.shape, start) or (0,))
        for sequences in dict.fromkeys((self._entering(service, batch), self._held(batch))):
            sizes = _sizes(service, -(-sequences // service.shape.replicas))
            for size in dict.fromkeys((sizes.larger, sizes.smaller)):
                yield from [(self._cut(service, begin), size) for begin in begins]

    def seconds(self, services: Sequence[Placed], times: LeastTimes) -> Figures:
        """TTFT of services that prefill, and TPOT of services that decode, at least; shape (2, services)."""
        runs = _Runs(times.index, self._cut)
        pairs = np.array([self._runs(one, runs) for one in services])
        prefill, step = self._seconds(runs, times.rows)
        return np.stack([prefill[pairs[:, 0]], step[pairs[:, 1]] / self._facts.workload.tokens_per_step])

    def _cut(self, service: ServicePlan, begin: int) -> Cut:
        """The cut of a stage, made once for a shape, which is known by who it is and held."""
        options = _of_stage(service.options)
        key = id(service.shape), id(options), service.phase, begin
        found = self._cuts.get(key)
        if found is None:
            if len(self._cuts) >= MOST_CUTS:
                self._cuts.clear()
            found = self._cuts[key] = service.shape, options, cut_of(service, begin)
        return found[2]

    def _entering(self, service: ServicePlan, batch: int) -> int:
        """Sequences that enter at once in the whole deployment, where a service prefills."""
        if self._facts.workload.concurrency is None:
            return batch
        return min(batch, service.shape.replicas * service.shape.attention.dp)

    def _held(self, batch: int) -> int:
        """Sequences that are decoded at least."""
        return batch if self._facts.workload.concurrency is None else 1

    def _runs(self, placed: Placed, runs: _Runs) -> tuple[int, int]:
        """The runs of a service in both phases."""
        service, batch, start = placed
        begins, replicas = self._begins(service.shape, start), service.shape.replicas
        entering, held = self._entering(service, batch), self._held(batch)
        prefill = runs.add(service, -(-entering // replicas), begins)
        return prefill, prefill if entering == held else runs.add(service, -(-held // replicas), begins)

    def _seconds(self, runs: _Runs, rows: Picoseconds) -> Figures:
        """Seconds of a prefill, and of a decode step, of each run at least; of runs with the same stages at once."""
        found: Picoseconds = np.zeros((2, len(runs.found)), dtype=np.int64)
        for (stages, layers), members in runs.by_stages.items():
            group, ends = [runs.found[i] for i in members], np.array(self._ends(stages, layers))
            counts = np.array([(run.many, run.few) for run in group])[:, :, None, None]
            is_placed = np.array([run.is_placed for run in group], dtype=np.bool_)
            is_one_pool = np.array([run.is_one_pool for run in group], dtype=np.bool_)
            for at, work in enumerate((_prefill, _step)):
                high, low = (
                    _stages(rows[:, at], np.array(places), ends, is_placed)
                    for places in ([run.larger for run in group], [run.smaller for run in group])
                )
                whole: Picoseconds = counts[:, 0] * high + counts[:, 1] * low
                found[at, members] = np.maximum(
                    work(high[:, PATH], low[:, PATH], whole[:, BUSY]), _beside(whole[:, BESIDE], is_one_pool)
                )
        return found / PICOSECONDS

    def _begins(self, shape: Shape, start: int) -> tuple[int, ...] | None:
        """The rank of its node at which each stage begins; None where that is not known to tell how a stage lies."""
        node, stages = self._facts.cluster.gpus_per_node, shape.stages
        if self._is_first:
            return None
        if stages == 1 and shape.form is not Form.BESIDE_REPLICA:
            return (start % node,)
        if shape.form is Form.SHARED and self._facts.engine is None:
            return tuple((start + stage * shape.attention.size) % node for stage in range(stages))
        return None

    def _stage_ends(self, stages: int, layers: tuple[int, ...] | None) -> list[int]:
        """Layers before each stage, and all."""
        ends = [0]
        for count in layers or self._facts.runtime.layer_split.over_stages(self._layers, stages):
            ends.append(ends[-1] + count)
        return ends


class _Sizes(NamedTuple):
    """Sequences of micro-batches, of which there are two numbers at most, and how many have each."""

    larger: int
    many: int
    smaller: int
    few: int


class _Run(NamedTuple):
    """What one service runs: where the least times of its larger micro-batches are, stage by stage, how many it has,
    and both of the smaller ones; whether these are of the stage's place, and whether one pool of experts serves all.
    """

    larger: tuple[int, ...]
    many: int
    smaller: tuple[int, ...]
    few: int
    is_placed: bool
    is_one_pool: bool


@dataclass(slots=True)
class _Runs:
    """Services with the sequences that they run, each once; `by_stages` has the numbers of those that are cut alike.

    Services are known by who they are: those who run them hold them.
    """

    index: dict[Asked, int]
    cut: Callable[[ServicePlan, int], Cut]
    found: list[_Run] = field(default_factory=list[_Run])
    by_stages: dict[tuple[int, tuple[int, ...] | None], list[int]] = field(
        default_factory=dict["tuple[int, tuple[int, ...] | None]", list[int]]
    )
    _known: dict[object, int] = field(default_factory=dict[object, int])

    def add(self, service: ServicePlan, sequences: int, begins: tuple[int, ...] | None) -> int:
        """The number of a run."""
        key = id(service), sequences, begins
        if key not in self._known:
            number = self._known[key] = len(self.found)
            shape, sizes = service.shape, _sizes(service, sequences)
            larger, smaller = (self._places(service, size, begins) for size in (sizes.larger, sizes.smaller))
            is_one_pool = shape.form is Form.BESIDE_REPLICA
            self.found.append(_Run(larger, sizes.many, smaller, sizes.few, begins is not None, is_one_pool))
            self.by_stages.setdefault((shape.stages, shape.layers), []).append(number)
        return self._known[key]

    def _places(self, service: ServicePlan, size: int, begins: tuple[int, ...] | None) -> tuple[int, ...]:
        """Where the least times of each stage are."""
        if begins is None:
            return (self.index[self.cut(service, 0), size],) * service.shape.stages
        places = {begin: self.index[self.cut(service, begin), size] for begin in begins}
        return tuple([places[begin] for begin in begins])


def _stages(
    rows: Picoseconds, places: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], is_placed: npt.NDArray[np.bool_]
) -> Picoseconds:
    """Least times of the layers of each stage, shape (runs, 4, stages); `places` has shape (runs, stages)."""
    kinds: npt.NDArray[np.int64] = np.arange(rows.shape[1], dtype=np.int64)[:, None]
    where = places[:, None, :]
    times = rows[where, kinds, ends[1:]] - rows[where, kinds, ends[:-1]]
    times[:, PATH] = np.where(is_placed[:, None], times[:, PATH], times[:, COMPUTING])
    return times


def _prefill(larger: Picoseconds, smaller: Picoseconds, busy: Picoseconds) -> Picoseconds:
    """Picoseconds of a prefill: paths of the first and the last micro-batch, and busy with all; by run."""
    before = np.cumsum(larger, axis=1) - larger
    after = smaller.sum(axis=1, keepdims=True) - np.cumsum(smaller, axis=1)
    return (before + np.maximum(busy, larger) + after).max(axis=1)


def _step(larger: Picoseconds, smaller: Picoseconds, busy: Picoseconds) -> Picoseconds:
    """Picoseconds of a decode step."""
    passed = np.maximum(larger.sum(axis=1), smaller.sum(axis=1))
    return np.maximum(passed, busy.max(axis=1))


def _beside(busy: Picoseconds, is_one_pool: npt.NDArray[np.bool_]) -> Picoseconds:
    """Picoseconds of the busiest pool of experts, from those of each stage."""
    whole: Picoseconds = busy.sum(axis=1)
    most: Picoseconds = busy.max(axis=1)
    return np.where(is_one_pool, whole, most)


def _sizes(service: ServicePlan, sequences: int) -> _Sizes:
    """How many micro-batches there are of each number of sequences."""
    sequences = max(1, sequences)
    count = max(1, min(service.options.micro or service.shape.stages, sequences))
    each, rest = divmod(sequences, count)
    return _Sizes(each + 1, rest, each, count - rest) if rest else _Sizes(each, count, each, 0)


def rate(amount: npt.NDArray[np.int64], seconds: Figures) -> Figures:
    """An amount a second; without an end where it takes no time."""
    return np.divide(amount, seconds, out=np.full(len(seconds), np.inf), where=seconds > 0)
