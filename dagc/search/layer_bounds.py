"""Lower bounds of what the layers of a stage compute, from parts of a layer that many stage configurations share.

What a rank of attention computes of a layer (mixer, norms, router, shared experts, a dense layer's network) depends on
its sequences and on tp and cp, not on how many others there are beside it, nor on how experts are cut. What a rank of
the experts computes depends on how these are cut and on the tokens that its expert group has, from any rank. So
both are lowered and priced by themselves, with communication left out: the former for each number of sequences, the
latter for many numbers of tokens at once, each in a copy of the experts of its own.

The nodes of a micro-batch (of each half, under overlap) wait for each other on a rank, so a rank computes what its
attention's part and its experts' part take, one after the other, and

    path  >= least of attention + least of experts
    busy  >= max(most of attention + least of experts, least of attention + most of experts)

with both halves in the latter, the smaller one in the former. Sequences lie unevenly where dp does not divide them. No
computation takes longer for fewer tokens, so the least is that of a rank, or of an expert group, that has the fewer
everywhere, and the most that of a rank that has the more, or of a group with as many tokens as the mean. Sums of
results count with the fewest terms that they may have, and not at all where experts are apart; there shared experts are
no part of the path, because they may run beside the others, and the experts' pool has all tokens of the stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from dagc.catalog.model import Experts, FfnKind, LayerKind, ModelShapes
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.cost.operators import operator_cost
from dagc.cost.sharing import beside_exchange
from dagc.degrees import AxisKind, Degrees
from dagc.graph.priced import Picoseconds
from dagc.lower.batch import Batch, batch_of
from dagc.lower.builder import TemplateBuilder
from dagc.lower.experts import add_moe
from dagc.lower.ffn import add_dense_ffn
from dagc.lower.mixer import add_mixer
from dagc.lower.popularity import popularity_ranks, slot_chances
from dagc.lower.routing import ExpertChoice
from dagc.lower.stage import Stage
from dagc.lower.topology import place
from dagc.ops.elementwise import Elementwise, WeightedSum
from dagc.ops.gemm import Gemm
from dagc.ops.load import compress_uniform
from dagc.ops.op import Computation, Lane, Op, OpKind
from dagc.plan.deployment import Options, Phase
from dagc.plan.layout import Factor, Layout
from dagc.plan.plan import Facts
from dagc.source import Source, Span

PHASES = (Phase.PREFILL, Phase.DECODE)
"""Phases in the order in which layer times have them."""

PATH, BUSY, BESIDE = range(3)
"""Rows of layer times. `PATH` is what one micro-batch computes from entering a layer to leaving it; `BUSY` the compute
lane of the busiest rank, `BESIDE` that of a pool of experts, 0 without one."""

LOW, HIGH, TRUNK = range(3)
"""Rows of times of attention's part: the rank with least and with most to do, and the least but for shared experts."""

SUMS = 2
"""The experts' part has in its last row what sums of results take at least, which the others leave out: the rank with
the most tokens of experts need not be the one with the most sums."""

_BELOW = 1.0 - 1e-9
"""Tokens of experts, and then their products, are taken as so many less: sums that are rounded in another order must
not come to one more tile, or to one more wave of tiles."""

_NODES = 4
"""Nodes of the experts' part, each of which may be a picosecond less for that."""


class StageConfig(NamedTuple):
    """How a stage is cut, and the options of what is in it; `is_apart` where experts have ranks of their own."""

    attention: Degrees
    experts: Degrees
    is_apart: bool
    options: Options


class AttentionPart(NamedTuple):
    """What attention's part of a layer depends on, beside the sequences of a rank."""

    phase: Phase
    tp: int
    cp: int
    sequence_parallel: bool
    decode_context: int
    shared_replicated: bool
    in_exchange: bool
    """Whether exchanges take multiprocessors meanwhile."""


class ExpertsPart(NamedTuple):
    """What the experts' part of a layer depends on, beside the tokens of an expert group.

    `apart` is on ranks of their own, where sums of results are not the experts' part.
    """

    phase: Phase
    experts: Degrees
    redundant: int
    overlap: int
    in_exchange: bool
    apart: bool


Work = tuple[AttentionPart | ExpertsPart, Sequence[float]]
"""A part, with the sequences of a rank or the tokens of an expert group that are asked about."""

TimesOf = Callable[[Sequence[Work]], Sequence[Picoseconds]]
"""Takes parts with amounts to the times of each, as `Parts.times` has them."""


class Parts:
    """Computing times of parts under the facts of one plan; wherever no rank is slowed."""

    def __init__(self, facts: Facts) -> None:
        """Raises ValueError where the model has no shapes."""
        self.facts, self.shapes = facts, shapes_of(facts)

    def times(self, work: Work) -> Picoseconds:
        """Times of a part of each layer for each amount, shape (amounts, 3, layers)."""
        part, amounts = work
        if isinstance(part, AttentionPart):
            return self.attention(part, [int(one) for one in amounts])
        return self.experts(part, amounts)

    def attention(self, part: AttentionPart, sequences: Sequence[int]) -> Picoseconds:
        """Times of attention's part of each layer, for ranks that have so many sequences.

        `LOW`, `HIGH` and `TRUNK`, shape (sequences, 3, layers). The rank that has least to do of the mixer has least
        to do of the rest.
        """
        kinds = self.shapes.layer_kinds()
        mixers = {one: self._mixers(part, sequences, one) for one in dict.fromkeys(map(_mixing, kinds))}
        others = {one: self._others(part, sequences, one) for one in dict.fromkeys(kind.ffn for kind in kinds)}
        return np.stack([mixers[_mixing(kind)] + others[kind.ffn] for kind in kinds], axis=2)

    def experts(self, part: ExpertsPart, tokens: Sequence[float]) -> Picoseconds:
        """Times of the experts' part for expert groups of so many tokens, 0 in layers without.

        `LOW`, `HIGH` and `SUMS`, shape (tokens, 3, layers). Weights with scales of their own count as more experts
        that are hit, but as no more than there are; as that is known of the largest group alone, times are less by the
        scales' share.
        """
        is_moe = np.array([kind.ffn is FfnKind.MOE for kind in self.shapes.layer_kinds()])
        choice = self._choice(part.redundant, np.flatnonzero(is_moe))
        count, size = len(tokens), part.experts.width
        layout = _layout((AxisKind.DP, count), (AxisKind.EP, part.experts.ep), (AxisKind.TP, part.experts.tp))
        stage = self._stage(_layout((AxisKind.DP, count * size)), layout, Options(overlap=part.overlap))
        each = np.repeat(np.array(tokens) * (_BELOW / size), size)
        workload = self.facts.workload
        batch = Batch(part.phase, each, each, 1, 1.0, workload.prompt, float(workload.prompt))
        builder = TemplateBuilder("", stage.span)
        add_moe(builder, stage, batch, choice, beside=False)
        ops = [node.op.scaled(_BELOW) for node in builder.nodes]
        products = [op for op in ops if op.kind is OpKind.EXPERTS]
        sums = [op for op in ops if isinstance(op, WeightedSum) and not part.apart]
        times = [self._time(some, part.in_exchange) for some in (products, sums)]
        copies = 1 if choice.chances is None else len(choice.chances)
        held, summed = (np.broadcast_to(one, (copies, count * size)).reshape(copies, count, size) for one in times)
        ends = np.stack([held.min(axis=2), held.max(axis=2), summed.min(axis=2)], axis=1)
        stored = part_stored(self.shapes, Part.EXPERTS)
        below = np.floor(ends * (stored.dtype.bytes / stored.bytes)) - _NODES
        found = np.zeros((count, 3, len(is_moe)), dtype=np.int64)
        found[:, :, is_moe] = np.maximum(below, 0).transpose(2, 1, 0)
        return found

    def _mixers(self, part: AttentionPart, sequences: Sequence[int], kind: LayerKind) -> Picoseconds:
        """Times of what mixes tokens, shape (sequences, 3). A core is priced by its fullest rank, so each alone."""
        found: list[tuple[int, int, int]] = []
        for one in sequences:
            stage, batch = self._attending(part, [one])
            builder = TemplateBuilder("", stage.span)
            add_mixer(builder, stage, batch, kind)
            times = self._time([node.op for node in builder.nodes if node.fused_into is None], part.in_exchange)
            found.append((int(times.min()), int(times.max()), int(times.min())))
        return np.array(found, dtype=np.int64)

    def _others(self, part: AttentionPart, sequences: Sequence[int], ffn: FfnKind) -> Picoseconds:
        """Times of what follows the mixer, shape (sequences, 3)."""
        stage, batch = self._attending(part, sequences)
        builder = TemplateBuilder("", stage.span)
        if ffn is FfnKind.MOE:
            add_moe(builder, stage, batch, ExpertChoice(self._experts, 0), beside=False)
        elif ffn is FfnKind.DENSE:
            add_dense_ffn(builder, stage, batch)
        ops = [node.op for node in builder.nodes]
        ops = [op for op in ops if op.kind is not OpKind.EXPERTS and not isinstance(op, WeightedSum)]
        trunk = self._time([op for op in ops if not _is_shared(op)], part.in_exchange)
        whole = trunk + self._time([op for op in ops if _is_shared(op)], part.in_exchange)
        ranks = stage.attention.size
        whole, trunk = (np.broadcast_to(one, ranks).reshape(len(sequences), -1) for one in (whole, trunk))
        return np.stack([whole.min(axis=1), whole.max(axis=1), trunk.min(axis=1)], axis=1)

    def _attending(self, part: AttentionPart, sequences: Sequence[int]) -> tuple[Stage, Batch]:
        """A stage on which each group of tp and cp has so many sequences."""
        layout = _layout((AxisKind.DP, len(sequences)), (AxisKind.CP, part.cp), (AxisKind.TP, part.tp))
        options = Options(
            sequence_parallel=part.sequence_parallel, decode_context=part.decode_context,
            shared_replicated=part.shared_replicated,
        )  # fmt: skip
        stage = self._stage(layout, _layout((AxisKind.DP, layout.size)), options)
        held = np.repeat(np.array(sequences, dtype=np.float64), part.cp * part.tp)
        return stage, batch_of(compress_uniform(held), part.phase, layout, self.facts.workload, part.decode_context)

    def _time(self, ops: Iterable[Op], in_exchange: bool) -> Picoseconds:
        """The sum of the computations among operators, by rank and copy."""
        facts, device = self.facts, self.facts.cluster.device
        device = beside_exchange(device) if in_exchange else device
        activation, tuned = facts.model.activation_dtype, facts.runtime.tunes_expert_shards
        whole = np.zeros(1, dtype=np.int64)
        for op in ops:
            if isinstance(op, Computation) and op.lane is Lane.COMPUTE:
                whole = whole + operator_cost(op, device, activation, tunes_expert_shards=tuned).duration
        return whole

    @property
    def _experts(self) -> Experts:
        if self.shapes.experts is None:
            raise ValueError("an MoE layer needs experts")
        return self.shapes.experts

    def _choice(self, redundant: int, layers: Picoseconds) -> ExpertChoice:
        """How tokens choose experts in these layers; nothing is shared, so that sums have the fewest terms."""
        experts, workload = replace(self._experts, shared_ffn=0), self.facts.workload
        if not workload.is_skewed:
            return ExpertChoice(experts, redundant)
        order = popularity_ranks(experts.count, self.shapes.layers, workload.seed)[layers]
        return ExpertChoice(experts, redundant, slot_chances(experts, redundant, order, workload))

    def _stage(self, attention: Layout, experts: Layout, options: Options) -> Stage:
        nowhere = Span(Source("", ""), 0, 0)
        own = place(np.arange(attention.size, dtype=np.int64), self.facts.cluster.gpus_per_node)
        return Stage(self.shapes, options, attention, experts, own, None, nowhere, nowhere)


def shapes_of(facts: Facts) -> ModelShapes:
    """The shapes of the model, which the caller knows that it has."""
    shapes = facts.model.shapes()
    if shapes is None:
        raise ValueError("lower bounds need a model with shapes")
    return shapes


def _layout(*factors: tuple[AxisKind, int]) -> Layout:
    return Layout(tuple(Factor(axis, degree) for axis, degree in factors if degree > 1))


def _mixing(kind: LayerKind) -> LayerKind:
    """The kind without its feed-forward part."""
    return replace(kind, ffn=FfnKind.NONE)


def _is_shared(op: Op) -> bool:
    """Whether it is a part of shared experts."""
    part = op.matrix.part if isinstance(op, Gemm) else op.part if isinstance(op, Elementwise) else None
    return part is Part.SHARED_EXPERTS


Key = TypeVar("Key", AttentionPart, ExpertsPart)


class LayerBounds:
    """Lower bounds of the layers of stages under the facts of one plan, whose model has shapes.

    Stages are registered first (`row`), so that the times of all their parts can be asked for at once.
    """

    def __init__(self, facts: Facts, times_of: TimesOf) -> None:
        """`times_of` is asked for the times of each part once."""
        shapes = shapes_of(facts)
        self.layers = shapes.layers
        self._facts, self._times_of = facts, times_of
        self._has_experts = any(kind.ffn is FfnKind.MOE for kind in shapes.layer_kinds())
        self._attention, self._experts = _PartTimes[AttentionPart](self.layers), _PartTimes[ExpertsPart](self.layers)
        self._index: dict[tuple[StageConfig, int], int] = {}
        self._rows: list[tuple[tuple[tuple[int, int], ...], ...]] = []
        self._is_apart: list[bool] = []

    def row(self, config: StageConfig, sequences: int) -> int:
        """The row of a stage with micro-batches of so many sequences."""
        key = config, sequences
        if key not in self._index:
            self._index[key] = len(self._rows)
            self._rows.append(tuple([self._parts_of(config, sequences, phase) for phase in PHASES]))
            self._is_apart.append(config.is_apart)
        return self._index[key]

    def times(self, rows: Sequence[int]) -> Picoseconds:
        """Layer times of the rows, summed up to each layer, shape (rows, phases, 3, layers + 1)."""
        new = self._attention.new(), self._experts.new()
        found = self._times_of([*new[0], *new[1]]) if any(new) else ()
        attention = self._attention.put(new[0], found[: len(new[0])])
        experts = self._experts.put(new[1], found[len(new[0]) :])
        chosen: Picoseconds = np.array([self._rows[row] for row in rows])
        fewer, more, low, high = (chosen[:, :, at] for at in range(4))
        is_apart = np.array([self._is_apart[row] for row in rows])
        of_attention, sums = attention[fewer, LOW], experts[low, SUMS]
        of_experts = experts[low, LOW] + sums
        busy, beside = attention[more, HIGH].sum(axis=2), self._fullest(experts[high])
        times = np.zeros((len(rows), len(PHASES), 3, self.layers + 1), dtype=np.int64)
        each = times[..., 1:]
        each[:, :, PATH] = of_attention[:, :, 1] + of_experts[:, :, 1]
        each[is_apart, :, PATH] = attention[fewer[is_apart, :, 1], TRUNK] + of_experts[is_apart, :, 1]
        each[:, :, BUSY] = np.maximum(busy + of_experts.sum(axis=2), (of_attention + sums).sum(axis=2) + beside)
        each[is_apart, :, BUSY], each[is_apart, :, BESIDE] = busy[is_apart], beside[is_apart]
        return np.cumsum(times, axis=3)

    def _fullest(self, experts: Picoseconds) -> Picoseconds:
        """The experts' part of both halves on the rank with most, of rows of shape (..., halves, times, layers).

        Where routing is skewed, the fullest rank of one half need not be that of the other.
        """
        if not self._facts.workload.is_skewed:
            return experts[..., HIGH, :].sum(axis=2)
        first, last = (experts[:, :, half] for half in range(2))
        return np.maximum(first[:, :, HIGH] + last[:, :, LOW], first[:, :, LOW] + last[:, :, HIGH])

    def _parts_of(self, config: StageConfig, size: int, phase: Phase) -> tuple[tuple[int, int], ...]:
        """Rows of the larger and the smaller half: attention of fewer and of more, experts of least and of most."""
        options, is_prefill = config.options, phase is Phase.PREFILL
        exchanges = self._has_experts and options.overlap > 1 and config.experts.ep > 1 and not config.is_apart
        in_exchange = exchanges and is_prefill
        attention = AttentionPart(
            phase, config.attention.tp, config.attention.cp, options.sequence_parallel, options.decode_context,
            options.shared_replicated, in_exchange,
        )  # fmt: skip
        experts = ExpertsPart(phase, config.experts, options.redundant, options.overlap, in_exchange, config.is_apart)
        found: list[tuple[int, int, int, int]] = []
        for fewer, more, whole in _halves(size, config.attention.dp, options.overlap):
            tokens = self._tokens(config, fewer, whole, is_prefill=is_prefill) if self._has_experts else (0.0, 0.0)
            low, high = (self._experts.row(experts, one) if one else 0 for one in tokens)
            found.append((self._attention.row(attention, fewer), self._attention.row(attention, more), low, high))
        return tuple(zip(*([(0, 0, 0, 0)] * (2 - len(found)) + found), strict=True))

    def _tokens(self, config: StageConfig, fewer: int, whole: int, *, is_prefill: bool) -> tuple[float, float]:
        """Tokens of an expert group of ranks that have the fewer sequences, and of the mean group."""
        workload, attention, group = self._facts.workload, config.attention, config.experts.width
        each = workload.fresh if is_prefill else 1 + workload.drafted
        if config.is_apart:
            return float(whole * each), float(whole * each)
        if is_prefill:
            low = fewer * (each // attention.cp) * group / attention.tp
        else:
            low = fewer * each * group / (attention.tp * attention.cp)
        return low, whole * each * group / attention.width


class _PartTimes(Generic[Key]):
    """Times of parts, a row for each part and amount; the first row is of nothing."""

    def __init__(self, layers: int) -> None:
        self._index: dict[tuple[Key, float], int] = {}
        self._new: dict[Key, list[float]] = {}
        self._times: Picoseconds = np.zeros((1, 3, layers), dtype=np.int64)

    def row(self, part: Key, amount: float) -> int:
        """The row of a part."""
        key = part, amount
        if key not in self._index:
            self._index[key] = len(self._index) + 1
            self._new.setdefault(part, []).append(amount)
        return self._index[key]

    def new(self) -> list[tuple[Key, list[float]]]:
        """Parts with the amounts whose rows have no times yet."""
        new, self._new = list(self._new.items()), {}
        return new

    def put(self, new: Sequence[tuple[Key, list[float]]], times: Sequence[Picoseconds]) -> Picoseconds:
        """Give these parts their times; all rows, shape (rows, times, layers). Amounts are numbered as they came."""
        if new:
            added = np.zeros((len(self._index) + 1, *self._times.shape[1:]), dtype=np.int64)
            added[: len(self._times)] = self._times
            for (part, amounts), found in zip(new, times, strict=True):
                added[[self._index[part, amount] for amount in amounts]] = found
            self._times = added
        return self._times


def _halves(size: int, dp: int, overlap: int) -> list[tuple[int, int, int]]:
    """The micro-batch, or its halves, the larger first, as `dagc.lower.batch.halves` parts it.

    Sequences of a rank that has fewer, of one that has more, and of all ranks that hold different ones.
    """
    fewer, rest = divmod(size, dp)
    more = fewer + (rest > 0)
    if overlap == 1 or more < 2:
        return [(fewer, more, size)]
    first, last = (fewer + 1) // 2, (more + 1) // 2
    whole = rest * last + (dp - rest) * first
    return [(first, last, whole), (fewer - first, more - last, size - whole)]
