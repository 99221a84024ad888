"""Lower bounds on the times of a service, which no schedule can undercut, and the requirements that they miss already.

The layer times (`dagc.search.layer_bounds`) are those of one stage that holds all layers, for each number of sequences.
Every pipeline of such stages is bounded by them, because a layer takes as long in every stage. With path, busy and
trailing of stage s for micro-batch b so found, a path being at least as long as busy, because a micro-batch leaves a
stage as a whole:

    TTFT >= max over s of (sum over stages before s of path of the first b)
                        + max(sum over b of busy - sum over all b but the last of trailing, path)
                        + (sum over stages after s of path of the last b)

because stage s takes its micro-batches one after the other, none before the first has come through the stages before
it, and the last has those after it to go. A token of a sequence is made of the token before it, and every stage takes
each micro-batch once a step, so

    step >= max(sum over s of path of the largest b, max over s of sum over b of (busy - trailing))

and TPOT is at least a step divided by the tokens that it yields. An experts' pool is busy for all that it serves.
Throughput follows by its definition (`dagc.results.metrics`), which falls as times grow, and a step from an idle
pipeline takes no less than an interval. Of continuous batching one sequence on a replica is taken to be decoded as long
as nothing is known of its memory; `seconds_of` takes how many run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import ceil
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from dagc.catalog.parameters import layer_parameters
from dagc.catalog.part import Part
from dagc.graph.priced import PICOSECONDS, Picoseconds
from dagc.metrics import GPUS, THROUGHPUT, TPOT, TTFT
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts
from dagc.plan.step_limits import overhead_on, prompt_tokens
from dagc.plan.workload import Per, Requirement
from dagc.results.quantity import satisfies
from dagc.search.candidate import PoolForm, ServicePlan, ServiceShape
from dagc.search.layer_bounds import BESIDE, BUSY, PATH, TRAILING, LayerBounds, StageConfig, TimesOf
from dagc.search.layer_parts import shapes_of
from dagc.search.verdict import miss_of

PIECE = 2048
"""Services that are bounded at once: what they need at a time is some tens of megabytes."""

Figures = npt.NDArray[np.float64]
Figure = TypeVar("Figure", float, Figures)


@dataclass(frozen=True, slots=True)
class TimeBound(Generic[Figure]):
    """Seconds that a candidate takes at least, and output tokens a second that it yields at most; or those of many."""

    ttft: Figure
    tpot: Figure
    throughput: Figure


class ServiceBound(NamedTuple):
    """Seconds that a service takes at least, infinite where it does not fit, and the sequences that it runs at most."""

    ttft: float
    tpot: float
    running: int


class _Sizes(NamedTuple):
    """Sequences of micro-batches, of which there are two numbers at most, and how many have each."""

    larger: int
    many: int
    smaller: int
    few: int


class _Run(NamedTuple):
    """What one service runs in a phase: `rows` of layer times of its larger and its smaller micro-batches, and how many
    it has of both; `is_one_pool` where one pool of experts serves all stages.
    """

    stages: int
    layers: tuple[int, ...] | None
    is_one_pool: bool
    rows: tuple[int, int]
    counts: tuple[int, int]


_Key = tuple[ServiceShape, Options, bool, int]
"""A service, whether it is for both phases, and the sequences that it prefills or decodes."""


class LowerBounds:
    """Lower bounds of services under the facts of one plan, whose model has shapes; each is worked out once."""

    def __init__(self, facts: Facts, times_of: TimesOf) -> None:
        self.facts, self.times_of, self.layer_bounds = facts, times_of, LayerBounds(facts, times_of)
        self._ends = cache(self._stage_ends)
        self._known: dict[Phase, dict[_Key, float]] = {Phase.PREFILL: {}, Phase.DECODE: {}}

    def seconds(self, services: Sequence[tuple[ServicePlan, int]]) -> Figures:
        """TTFT and TPOT of services at least, each under a batch of the deployment, wherever they lie.

        Where requests come and go, one enters on each rank of attention, and one is decoded at least.
        """
        static = self.facts.workload.concurrency is None
        return self.seconds_of(
            [(one, self.entering(one.shape, batch), batch if static else 1) for one, batch in services]
        )

    def seconds_of(self, services: Sequence[tuple[ServicePlan, int, int]]) -> Figures:
        """TTFT and TPOT at least of services that prefill so many sequences at once and decode so many.

        Shape (2, services); of the phase that a service does not serve it says nothing. Beside a decode step a token
        takes the host, and drafts their share of the step (`dagc.results.serving`).
        """
        prefill, step = self.steps_of(services)
        facts = self.facts
        drafts = facts.workload.drafted / self.layer_bounds.layers
        host = facts.runtime.host_seconds
        return np.stack([prefill + host, (step * (1 + drafts) + host) / facts.workload.tokens_per_step])

    def entering(self, shape: ServiceShape, batch: int, each: int = 1) -> int:
        """Sequences that are prefilled at once: all of a static batch, else so many on each rank of attention."""
        is_static = self.facts.workload.concurrency is None
        return batch if is_static else min(batch, each * shape.replicas * shape.attention.dp)

    def steps_of(self, services: Sequence[tuple[ServicePlan, int, int]]) -> Figures:
        """Seconds of a prefill and of a decode step at least, with so many sequences; 0 of a phase that is not there.

        Shape (2, services).
        """
        found = np.zeros((2, len(services)))
        for at, phase in enumerate(self._known):
            served = [i for i, (service, *_) in enumerate(services) if service.phase in (Phase.BOTH, phase)]
            keys = [
                (one.shape, one.options, one.phase is Phase.BOTH, numbers[at])
                for one, *numbers in (services[i] for i in served)
            ]
            found[at, served] = self._seconds_of(phase, keys)
        return found

    def _seconds_of(self, phase: Phase, keys: Sequence[_Key]) -> list[float]:
        """Seconds of a prefill or of a decode step at least."""
        known = self._known[phase]
        new = [key for key in dict.fromkeys(keys) if key not in known]
        runs = [self._run(*key, phase) for key in new]
        for start in range(0, len(runs), PIECE):
            found = self._bounded(runs[start : start + PIECE], phase)
            known.update(zip(new[start : start + PIECE], found.tolist(), strict=True))
        return [known[key] for key in keys]

    def _run(self, shape: ServiceShape, options: Options, is_both: bool, sequences: int, phase: Phase) -> _Run:
        of_stage = StageConfig(
            shape.attention, shape.experts, shape.form is not PoolForm.SHARED, shape.inner_dp > 1, _of_stage(options),
            is_both,
        )  # fmt: skip
        in_steps = phase is Phase.PREFILL and not is_both and fills_pipeline(self.facts, shape)
        sizes = _sizes(1 if in_steps else options.micro or shape.stages, -(-sequences // shape.replicas))
        row = self.layer_bounds.row
        return _Run(
            shape.stages,
            shape.layers,
            shape.form is PoolForm.BESIDE_REPLICA,
            (row(of_stage, sizes.larger, phase), row(of_stage, sizes.smaller, phase)),
            (sizes.many, sizes.few),
        )

    def _bounded(self, runs: Sequence[_Run], phase: Phase) -> Figures:
        """Seconds of a prefill or of a decode step of each run at least; of runs with the same stages at once."""
        rows, places = np.unique([run.rows for run in runs], return_inverse=True)
        times, places = self.layer_bounds.times(rows.tolist()), places.reshape(-1, 2)
        counts = np.array([run.counts for run in runs])
        is_one_pool = np.array([run.is_one_pool for run in runs], dtype=np.bool_)
        by_stages: dict[tuple[int, tuple[int, ...] | None], list[int]] = {}
        for number, run in enumerate(runs):
            by_stages.setdefault((run.stages, run.layers), []).append(number)
        found: Picoseconds = np.zeros(len(runs), dtype=np.int64)
        work, is_prefill = _prefill if phase is Phase.PREFILL else _step, phase is Phase.PREFILL
        for key, members in by_stages.items():
            ends = np.array(self._ends(*key))
            of_stages = np.diff(times[:, :, ends])
            of_stages[:, TRAILING] = (times[:, TRAILING, 1:] - times[:, TRAILING, :-1])[:, ends[1:] - 1]
            high, low = (of_stages[places[members, size]] for size in (0, 1))
            high[:, PATH], low[:, PATH] = (one[:, [PATH, BUSY]].max(axis=1) for one in (high, low))
            many, few = (counts[members, size, None, None] for size in (0, 1))
            whole: Picoseconds = many * high + few * low
            pools = _beside(whole[:, BESIDE], is_one_pool[members])
            busy = whole[:, BUSY] - whole[:, TRAILING] + (low[:, TRAILING] if is_prefill else 0)
            found[members] = np.maximum(work(high[:, PATH], low[:, PATH], busy), pools)
        return found / PICOSECONDS

    def _stage_ends(self, stages: int, layers: tuple[int, ...] | None) -> list[int]:
        """Layers before each stage, and all."""
        split = self.facts.runtime.layer_split
        return [0, *np.cumsum(layers or split.over_stages(self.layer_bounds.layers, stages)).tolist()]


@lru_cache(maxsize=1024)
def _of_stage(options: Options) -> Options:
    """Options without those that tell how there are several stages."""
    return replace(options, micro=None, layers=None)


def _sizes(micro_batches: int, sequences: int) -> _Sizes:
    """How many micro-batches there are of each number of sequences."""
    sequences = max(1, sequences)
    count = max(1, min(micro_batches, sequences))
    each, rest = divmod(sequences, count)
    return _Sizes(each + 1, rest, each, count - rest) if rest else _Sizes(each, count, each, 0)


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


def prompt_ranks(facts: Facts, shape: ServiceShape) -> int:
    """Ranks of a replica with a prompt each in TTFT: those of attention where requests come and go, else 1."""
    return 1 if facts.workload.concurrency is None else shape.attention.dp


def fills_pipeline(facts: Facts, shape: ServiceShape) -> bool:
    """Whether prefills follow each other through the stages of a service that does nothing else: one a stage, each of
    one micro-batch (`dagc.plan.plan.fills_pipeline`).
    """
    return facts.workload.concurrency is not None and shape.stages > 1 and shape.form is PoolForm.SHARED


def prompts_of_step(facts: Facts, ranks: int) -> int:
    """Prompts of one attention rank of so many in a step of GPUs that prefill alone, where more wait than have room; a
    part is one. No rank of any service has more than a lone one.
    """
    return ceil(prompt_tokens(facts, facts.cluster.device, ranks) / facts.workload.fresh)


def launch_seconds(facts: Facts, exchanges: bool) -> float:
    """What a step of GPUs that prefill alone takes at least (`dagc.catalog.serving_overhead`)."""
    return overhead_on(facts, facts.cluster.device, has_pools=True, exchanges=exchanges).prefill_launch_seconds


def rate(amount: npt.NDArray[np.int64] | int, seconds: Figures) -> Figures:
    """An amount a second; without an end where it takes no time."""
    return np.divide(amount, seconds, out=np.full(len(seconds), np.inf), where=seconds > 0)


def vectors_of(gpus: Figures, bound: TimeBound[Figures], usd_per_gpu_second: float | None) -> Figures:
    """Bounds as objectives, less being better; without a price no candidate has a cost of tokens."""
    price, free = usd_per_gpu_second, np.zeros(len(gpus))
    each = np.divide(gpus, bound.throughput, out=np.full(len(gpus), np.inf), where=bound.throughput > 0)
    cost = free if price is None else price * each * 1e6
    return np.column_stack([gpus, bound.ttft, bound.tpot, -bound.throughput, cost])


PRODUCTS = (Part.ATTENTION, Part.DENSE_FFN, Part.SHARED_EXPERTS)
"""Parts of a layer with the matrices that multiply every token; of experts those do that are chosen."""

NO_PRODUCTS = 0.01
"""More than the share of these parts' parameters that are norms and biases, and multiply nothing."""


def requests_per_gpu_second(facts: Facts) -> float:
    """Requests a second that no GPU exceeds, whatever the strategy: each token has two operations for each parameter
    that multiplies it, and no format computes faster than the fastest.
    """
    shapes, workload = shapes_of(facts), facts.workload
    used = 0.0
    for kind in shapes.layer_kinds():
        parts = layer_parameters(shapes, kind)
        used += sum(parts.get(part, 0) for part in PRODUCTS)
        if shapes.experts and Part.EXPERTS in parts:
            used += parts[Part.EXPERTS] / shapes.experts.count * shapes.experts.top
    tokens = workload.fresh + (workload.output - 1) / workload.tokens_per_step
    return max(facts.cluster.device.flops.values()) / (2 * used * (1 - NO_PRODUCTS) * tokens)


class Miss(NamedTuple):
    """The requirement that is missed most, and how far off it is at least."""

    name: str
    miss: float


def missed(facts: Facts, bound: TimeBound[float], gpus: float) -> Miss | None:
    """The requirement that no candidate of this bound can meet; None where there may be one that meets all.

    Judged are those on figures that a bound has: `ttft`, `tpot` (`latency`), `throughput` and `gpus`, from the side on
    which the bound lies. All others may be met as far as a bound knows.
    """
    misses: list[Miss] = []
    for one in facts.requirements:
        best = _best(facts, one, bound, gpus)
        if best is not None and not satisfies(best, one.comparison, one.figure.value):
            misses.append(Miss(one.name, miss_of(best, one.comparison, one.figure.value)))
    return max(misses, key=lambda one: one.miss, default=None)


def _best(facts: Facts, requirement: Requirement, bound: TimeBound[float], gpus: float) -> float | None:
    """The figure at its best, where the requirement limits it from that side."""
    if requirement.metric is GPUS:
        return gpus
    if requirement.metric is THROUGHPUT:
        return _rate(facts, requirement, bound, gpus) if requirement.comparison in (">", ">=") else None
    return {TTFT: bound.ttft, TPOT: bound.tpot}.get(requirement.metric) if requirement.is_ceiling else None


def _rate(facts: Facts, requirement: Requirement, bound: TimeBound[float], gpus: float) -> float:
    workload, figure = facts.workload, requirement.figure
    each = {"output": workload.output, "input": workload.prompt}
    tokens = each.get(figure.kind, workload.prompt + workload.output)
    found = bound.throughput / workload.output * tokens
    return found / gpus if figure.per is Per.GPU else found


def misses_of(facts: Facts, bound: TimeBound[Figures], gpus: Figures) -> list[Miss | None]:
    """What each candidate misses at least."""
    if not facts.requirements:
        return [None] * len(gpus)
    columns = zip(bound.ttft.tolist(), bound.tpot.tolist(), bound.throughput.tolist(), gpus.tolist(), strict=True)
    return [missed(facts, TimeBound(ttft, tpot, throughput), total) for ttft, tpot, throughput, total in columns]
