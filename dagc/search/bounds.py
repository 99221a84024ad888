"""What no schedule of a candidate can undercut, without lowering it.

Every operator takes at least the time that its arithmetic takes at the device's peak, and at least that of its bytes at
the full bandwidth: a formula's shares of either are at most `_Rates` counts, and all that it adds is not negative. A lane
runs one operator at a time, so a rank is busy for the sum of its operators, and the busiest rank of a stage at least as
long as the mean of them. Counted are matrix products (each weight once a micro-batch on a rank that has tokens, the
expected distinct experts of the routing) and the read of the cache; nothing that communicates counts. With t(s, b) so
found for stage s and micro-batch b:

    TTFT >= max over s of (sum over stages before s of t of the first b) + (sum over b of t(s, b))
                        + (sum over stages after s of t of the last b)

because stage s computes its micro-batches one after the other, none before the first has come through the stages before
it, and the last has those after it to go. A token of a sequence is made of the token before it, and every stage takes
each micro-batch once a step, so

    step >= max(sum over s of t(s, largest b), max over s of sum over b of t(s, b))

and TPOT is at least a step divided by the tokens that it yields. Experts' pools count by what they compute alone.
Throughput follows by its definition (`dagc.report.metrics`), which falls as times grow. Of continuous batching only one
sequence is taken to be decoded, because how many run is a matter of memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import inf

from dagc.catalog.cache import sequence_bytes
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.mixer_parameters import attention_parameters
from dagc.catalog.model import FfnKind, LayerKind
from dagc.catalog.parameters import expert_parameters, ffn_parameters, part_stored
from dagc.catalog.part import Part
from dagc.plan.deployment import Phase
from dagc.plan.plan import Facts
from dagc.plan.splits import split
from dagc.search.candidate import Candidate, Form, ServicePlan, Shape

_MATRICES = 0.999
"""Share of a mixer's parameters that are matrices at least; norms and biases are the rest."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds that a candidate takes at least, and output tokens a second that it yields at most."""

    ttft: float
    tpot: float
    throughput: float


@dataclass(frozen=True, slots=True)
class _Work:
    """A matrix, or several that are read together: FLOPs of one token, and bytes."""

    flops: float
    bytes: float
    peak: float


class Bounds:
    """Bounds of candidates under the facts of one plan, whose model has shapes and whose cluster has rates."""

    def __init__(self, facts: Facts) -> None:
        shapes = facts.model.shapes()
        if shapes is None:
            raise ValueError("bounds need a model with shapes")
        self._facts, self._shapes, self._kinds = facts, shapes, shapes.layer_kinds()
        self._rate = _bandwidth(facts.cluster.device)
        self._layer = cache(self._layer_seconds)
        self._stage_kinds = cache(self._counted)

    def of(self, candidate: Candidate) -> Bound:
        """The bound of a candidate."""
        workload = self._facts.workload
        first, last = candidate.services[0], candidate.services[-1]
        is_static = workload.concurrency is None
        entering = candidate.batch if is_static else min(candidate.batch, first.shape.replicas * first.shape.attention.dp)
        ttft = self._prefill(first, -(-entering // first.shape.replicas))
        held = -(-candidate.batch // last.shape.replicas) if is_static else 1
        tpot = self._step(last, held) / workload.tokens_per_step
        return Bound(ttft, tpot, self._throughput(candidate, ttft, tpot, entering))

    def _throughput(self, candidate: Candidate, ttft: float, tpot: float, entering: int) -> float:
        """Output tokens a second at most."""
        output = self._facts.workload.output
        if len(candidate.services) > 1:
            return output * min(_over(entering, ttft), _over(candidate.batch, (output - 1) * tpot))
        return output * _over(candidate.batch, ttft + (output - 1) * tpot)

    def _prefill(self, service: ServicePlan, sequences: int) -> float:
        sizes = Counter(_sizes(service, sequences))
        first, last = max(sizes), min(sizes)
        stages = range(service.shape.stages)
        times = {n: [self._stage(service, s, n, Phase.PREFILL) for s in stages] for n in sizes}
        busy = [sum(count * times[n][s] for n, count in sizes.items()) for s in stages]
        if service.shape.form is not Form.SHARED:
            return max(*busy, self._pool(service, sizes, Phase.PREFILL))
        before, after = 0.0, sum(times[last])
        longest = 0.0
        for s in stages:
            after -= times[last][s]
            longest = max(longest, before + busy[s] + after)
            before += times[first][s]
        return longest

    def _step(self, service: ServicePlan, sequences: int) -> float:
        sizes = Counter(_sizes(service, sequences))
        stages = range(service.shape.stages)
        times = {n: [self._stage(service, s, n, Phase.DECODE) for s in stages] for n in sizes}
        busy = max(sum(count * times[n][s] for n, count in sizes.items()) for s in stages)
        passed = sum(times[max(sizes)])
        if service.shape.form is Form.SHARED:
            return max(busy, passed)
        return max(busy, passed, self._pool(service, sizes, Phase.DECODE))

    def _stage(self, service: ServicePlan, stage: int, sequences: int, phase: Phase) -> float:
        """Seconds of one stage for one micro-batch, by the mean of its attention's ranks."""
        shape, dcp = service.shape, service.options.decode_context
        kinds = self._stage_kinds(shape.stages, shape.layers)[stage]
        whole = service.options.shared_replicated
        return sum(number * self._layer(_alike(shape), dcp, whole, kind, sequences, phase) for kind, number in kinds)

    def _pool(self, service: ServicePlan, sizes: Counter[int], phase: Phase) -> float:
        """Seconds of the pool of experts that has most layers, for all micro-batches."""
        shape = service.shape
        by_stage = [dict(kinds) for kinds in self._stage_kinds(shape.stages, shape.layers)]
        layers = [sum(n for kind, n in kinds.items() if kind.ffn is FfnKind.MOE) for kinds in by_stage]
        most = sum(layers) if shape.form is Form.BESIDE_REPLICA else max(layers)
        return most * sum(count * self._experts(shape, n * self._tokens(phase)) for n, count in sizes.items())

    def _layer_seconds(
        self, shape: Shape, dcp: int, whole: bool, kind: LayerKind, sequences: int, phase: Phase
    ) -> float:
        """Seconds of a layer on the mean rank of attention; experts count where they share these ranks."""
        cut, tokens = shape.attention, sequences * self._tokens(phase)
        held = tokens / (cut.dp * (cut.cp if phase is Phase.PREFILL else 1))
        active = min(1.0, sequences / cut.dp)
        seconds = sum(self._seconds(work, held, active) for work in self._dense(kind, cut.tp, whole))
        if phase is Phase.DECODE and kind.attention and not kind.reach.top:
            prompt = self._facts.workload.prompt
            cache_bytes = sequence_bytes(self._shapes, kind, prompt, cut.tp) / (cut.cp * dcp)
            seconds += sequences / cut.dp * cache_bytes / self._rate
        if kind.ffn is FfnKind.MOE and shape.form is Form.SHARED:
            seconds += self._experts(shape, tokens)
        return seconds

    def _tokens(self, phase: Phase) -> int:
        """Tokens of one sequence in a phase's step."""
        workload = self._facts.workload
        return workload.fresh if phase is Phase.PREFILL else 1 + workload.drafted

    def _seconds(self, work: _Work, tokens: float, active: float) -> float:
        return max(tokens * work.flops / work.peak, active * work.bytes / self._rate)

    def _dense(self, kind: LayerKind, tp: int, whole: bool) -> Iterator[_Work]:
        """What every token meets, on one of tp ranks."""
        shapes = self._shapes
        if kind.attention:
            number = attention_parameters(kind.attention.shard(tp), shapes.hidden) * _MATRICES
            yield self._work(Part.ATTENTION, number)
        if kind.ffn is FfnKind.DENSE:
            yield self._work(Part.DENSE_FFN, ffn_parameters(shapes.hidden, shapes.dense_ffn, shapes.gated) / tp)
        if kind.ffn is FfnKind.MOE and shapes.experts and shapes.experts.shared_ffn:
            number = ffn_parameters(shapes.hidden, shapes.experts.shared_ffn, shapes.gated)
            yield self._work(Part.SHARED_EXPERTS, number / (1 if whole else tp))

    def _work(self, part: Part, parameters: float) -> _Work:
        dtype = part_stored(self._shapes, part).dtype
        peak = _peak(self._facts.cluster.device, dtype, self._shapes.activation_dtype)
        return _Work(2.0 * parameters, parameters * dtype.bytes, peak)

    def _experts(self, shape: Shape, tokens: float) -> float:
        """Seconds of routed experts of one layer on the mean of the ranks that hold them."""
        experts = self._shapes.experts
        if experts is None:
            return 0.0
        ranks = shape.attention.size if shape.form is Form.SHARED else shape.experts.size
        copies = ranks // shape.experts.size
        work = self._work(Part.EXPERTS, expert_parameters(self._shapes) * _MATRICES)
        arithmetic = tokens * experts.top * work.flops / ranks / work.peak
        hit = self._hit(shape, tokens, copies) / shape.experts.size
        return max(arithmetic, hit * work.bytes / self._rate)

    def _hit(self, shape: Shape, tokens: float, copies: int) -> float:
        """Distinct experts that a group's tokens hit at least, a mean over the groups.

        The expectation is concave in the tokens, so of all ways to spread them the one that leaves all to one group
        hits the fewest; no group has fewer tokens than attention's ranks with the fewest bring. Under skewed routing
        1 - (1 - p)^T >= p min(1, T) of each slot, and the p of a layer sum to `top`.
        """
        experts, dp = self._shapes.experts, shape.attention.dp
        if experts is None:
            return 0.0
        if self._facts.workload.is_skewed:
            return experts.top * min(1.0, tokens) / copies
        each = tokens // dp * dp / copies
        return max(_distinct(experts.count, experts.top, tokens) / copies, _distinct(experts.count, experts.top, each))

    def _counted(self, stages: int, layers: tuple[int, ...] | None) -> tuple[tuple[tuple[LayerKind, int], ...], ...]:
        """Layers of each kind in each stage."""
        counts = layers or self._even(stages)
        ends = [sum(counts[:i]) for i in range(len(counts) + 1)]
        return tuple(tuple(Counter(self._kinds[start:end]).items()) for start, end in pairwise(ends))

    def _even(self, stages: int) -> tuple[int, ...]:
        engine = self._facts.engine
        if engine is None:
            return split(self._shapes.layers, stages)
        from dagc.engines.splits import split_layers

        return split_layers(self._shapes.layers, stages, engine.layer_split)


def _sizes(service: ServicePlan, sequences: int) -> tuple[int, ...]:
    """Sequences of each micro-batch."""
    count = max(1, min(service.options.micro or service.shape.stages, sequences))
    return split(sequences, count)


def _alike(shape: Shape) -> Shape:
    """What a layer's bound depends on: how a stage is cut."""
    return Shape(1, 1, shape.attention, shape.experts, shape.form)


def _distinct(count: int, chosen: int, tokens: float) -> float:
    return count * (1.0 - (1.0 - min(1.0, chosen / count)) ** tokens)


def _over(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else inf


def _bandwidth(device: DeviceSpec) -> float:
    """Bytes a second that no formula exceeds: the datasheet's, or more where a coefficient says so."""
    return (device.bandwidth_bytes_per_second or inf) * _largest(device, "memory", device.memory_efficiency)


def _peak(device: DeviceSpec, dtype: Dtype, activation: Dtype) -> float:
    """FLOP/s that no formula exceeds on weights of a type, which may be computed as activations are."""
    peak = max(device.flops.get(dtype, 0.0), device.flops.get(activation, 0.0))
    return (peak or inf) * _largest(device, "peak", device.compute_efficiency)


def _largest(device: DeviceSpec, coefficient: str, flat: float) -> float:
    """The largest share of a peak that a device reaches in any formula, 1 at least."""
    regimes = device.calibration.regimes.values() if device.calibration else ()
    return max(1.0, flat, *(regime.coefficients.get(coefficient, 0.0) for regime in regimes))


