"""What parts of a layer take at least on a rank, each lowered and priced by itself, because many stages share it.

Attention's part (mixer, norms, router, shared experts, a dense layer's network) depends on a rank's sequences and on tp
and cp, not on how many others there are beside it, nor on how experts are cut. What a rank of the experts computes, and
what is exchanged for them, depends on how these are cut and on the tokens of its expert group, from any rank.

Collectives depend on where a group lies, which a part does not know: they count as the faster of a group that fills
its nodes from the first rank on and of one that has a node for each rank. No collective is faster in between, nor for
more bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import lcm
from typing import NamedTuple

import numpy as np

from dagc.catalog.model import Experts, FfnKind, LayerKind, ModelShapes
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.cost.amounts import AmountCache
from dagc.cost.collectives import collective_costs
from dagc.cost.operators import operator_costs
from dagc.cost.sharing import beside_exchange
from dagc.degrees import AxisKind, Degrees
from dagc.graph.graph import Node
from dagc.graph.priced import Picoseconds
from dagc.lower.batch import Batch, batch_of
from dagc.lower.builder import TemplateBuilder
from dagc.lower.experts import add_moe
from dagc.lower.ffn import add_dense_ffn
from dagc.lower.mixer import add_mixer
from dagc.lower.routing import ExpertChoice, popularity_ranks, slot_chances
from dagc.lower.stage import Stage
from dagc.lower.topology import place
from dagc.ops.communication import Communication
from dagc.ops.elementwise import Elementwise, WeightedSum
from dagc.ops.fabric import Fabric
from dagc.ops.gemm import Gemm
from dagc.ops.grouped_gemm import GroupedGemm
from dagc.ops.groups import Groups
from dagc.ops.load import NOTHING, compress_uniform
from dagc.ops.op import Computation, Lane, Op, OpKind, Setting
from dagc.plan.deployment import Options, Phase
from dagc.plan.layout import Factor, Layout
from dagc.plan.plan import Facts
from dagc.source import Source, Span

LOW, HIGH, TRUNK, COLLECTIVES, SHARED = range(5)
"""Rows of times of attention's part: the rank with least and with most to do, the least but for shared experts, its
collectives, and those of shared experts."""

SUMS = 2
"""The experts' part has in its last row what sums of results take at least, which the others leave out: the rank with
the most tokens of experts need not be the one with the most sums."""

_BELOW = 1.0 - 1e-9
"""Tokens of experts, and then their products, are taken as so many less: sums that are rounded in another order must
not come to one more tile, or to one more wave of tiles."""

_NODES = 4
"""Nodes of the experts' part, each of which may be a picosecond less for that; as are its collectives."""


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

    `apart` is on ranks of their own, where sums of results are not the experts' part. `dispatches` where rows come by a
    dispatch, which have kernels of their own.
    """

    phase: Phase
    experts: Degrees
    redundant: int
    overlap: int
    in_exchange: bool
    apart: bool
    dispatches: bool
    has_low_latency: bool


class ExchangePart(NamedTuple):
    """What collectives of experts on attention's ranks depend on, beside the tokens of an expert group.

    `copies` ranks hold a token before them. `sums` where the engine may reduce over the group in place of an exchange,
    `gathers` where it gathers tokens.
    """

    phase: Phase
    experts: Degrees
    redundant: int
    copies: int
    sums: bool
    gathers: bool
    has_low_latency: bool


Work = tuple[AttentionPart | ExpertsPart | ExchangePart, Sequence[float]]
"""A part, with the sequences of a rank or the tokens of an expert group that are asked about."""


class Parts:
    """Computing times of parts under the facts of one plan, where no rank is slowed."""

    def __init__(self, facts: Facts) -> None:
        """Raises ValueError where the model has no shapes."""
        self.facts, self.shapes = facts, shapes_of(facts)
        self._fabric, self._known = Fabric(facts.cluster, facts.runtime.all_reduce), AmountCache()
        self._is_moe = np.array([kind.ffn is FfnKind.MOE for kind in self.shapes.layer_kinds()])

    def times(self, work: Work) -> Picoseconds:
        """Times of a part of each layer for each amount, shape (amounts, rows of the part, layers)."""
        part, amounts = work
        if isinstance(part, AttentionPart):
            return self.attention(part, [int(one) for one in amounts])
        return self.experts(part, amounts) if isinstance(part, ExpertsPart) else self.exchange(part, amounts)

    def attention(self, part: AttentionPart, sequences: Sequence[int]) -> Picoseconds:
        """Times of attention's part of each layer, for ranks that have so many sequences.

        `LOW` to `SHARED`, shape (sequences, 5, layers). The rank that has least to do of the mixer has least to do of
        the rest.
        """
        kinds = self.shapes.layer_kinds()
        mixers = {one: self._mixers(part, sequences, one) for one in dict.fromkeys(map(_mixing, kinds))}
        others = {one: self._others(part, sequences, one) for one in dict.fromkeys(map(_feeding, kinds))}
        return np.stack([mixers[_mixing(kind)] + others[_feeding(kind)] for kind in kinds], axis=2)

    def experts(self, part: ExpertsPart, tokens: Sequence[float]) -> Picoseconds:
        """Times of the experts' part for expert groups of so many tokens, 0 in layers without.

        `LOW`, `HIGH` and `SUMS`, shape (tokens, 3, layers). Weights with scales of their own count as more experts
        that are hit, but as no more than there are; as that is known of the largest group alone, times are less by the
        scales' share.
        """
        choice = self._choice(part.redundant, np.flatnonzero(self._is_moe))
        count, size = len(tokens), part.experts.width
        layout = _layout((AxisKind.DP, count), (AxisKind.EP, part.experts.ep), (AxisKind.TP, part.experts.tp))
        stage = self._stage(_layout((AxisKind.DP, count * size)), layout, Options(overlap=part.overlap), size)
        each = np.repeat(np.array(tokens) * (_BELOW / size), size)
        stage = replace(stage, gathers_experts=not part.dispatches, has_low_latency=part.has_low_latency)
        workload = self.facts.workload
        batch = Batch(part.phase, each, each, 1, 1.0, workload.prompt, float(workload.prompt))
        builder = TemplateBuilder("", stage.span)
        add_moe(builder, stage, batch, choice, beside=False)
        ops = [node.op.scaled(_BELOW) for node in builder.nodes]
        products = [_apart(op) if part.apart else op for op in ops if op.kind is OpKind.EXPERTS]
        sums = [op for op in ops if isinstance(op, WeightedSum) and not part.apart]
        times = self._computed((products, sums), part.in_exchange)
        copies = 1 if choice.chances is None else len(choice.chances)
        held, summed = (np.broadcast_to(one, (copies, count * size)).reshape(copies, count, size) for one in times)
        ends = np.stack([held.min(axis=2), held.max(axis=2), summed.min(axis=2)], axis=1)
        stored = part_stored(self.shapes, Part.EXPERTS)
        below = np.floor(ends * (stored.dtype.bytes / stored.bytes)) - _NODES
        found = np.zeros((count, 3, len(self._is_moe)), dtype=np.int64)
        found[:, :, self._is_moe] = np.maximum(below, 0).transpose(2, 1, 0)
        return found

    def exchange(self, part: ExchangePart, tokens: Sequence[float]) -> Picoseconds:
        """Collectives of the experts for groups of so many tokens, shape (tokens, 1, layers), 0 in layers without.

        Whatever is popular, no group exchanges less than one that all choose alike.
        """
        count, group, copies = len(tokens), part.experts.width, part.copies
        size = lcm(group, copies)
        attention = _layout((AxisKind.DP, count * size // copies), (AxisKind.TP, copies))
        experts = _layout(
            (AxisKind.DP, count * size // group), (AxisKind.EP, part.experts.ep), (AxisKind.TP, part.experts.tp)
        )
        stage = replace(
            self._stage(attention, experts, Options(), size), sums_experts=part.sums, gathers_experts=part.gathers,
            has_low_latency=part.has_low_latency,
        )  # fmt: skip
        each = np.repeat(np.array(tokens) * (_BELOW * copies / group), size)
        prompt = self.facts.workload.prompt
        batch = Batch(part.phase, each, each, copies, 1.0, prompt, float(prompt))
        builder = TemplateBuilder("", stage.span)
        add_moe(builder, stage, batch, ExpertChoice(replace(self._experts, shared_ffn=0), part.redundant), beside=False)
        (whole,) = self._collectives((builder.nodes,))
        whole = np.broadcast_to(whole, stage.attention.size).reshape(count, size).min(axis=1)
        found = np.zeros((count, 1, len(self._is_moe)), dtype=np.int64)
        found[:, 0, self._is_moe] = np.maximum(whole - _NODES, 0)[:, None]
        return found

    def _mixers(self, part: AttentionPart, sequences: Sequence[int], kind: LayerKind) -> Picoseconds:
        """Times of what mixes tokens, shape (sequences, 5). A core is priced by its fullest rank, so each alone."""
        builders: list[TemplateBuilder] = []
        for one in sequences:
            stage, batch = self._attending(part, [one])
            builders.append(TemplateBuilder("", stage.span))
            add_mixer(builders[-1], stage, batch, kind)
        run = [[node.op for node in builder.nodes if node.fused_into is None] for builder in builders]
        times = self._computed(run, part.in_exchange)
        collectives = self._collectives([builder.nodes for builder in builders])
        rows = [
            (one.min(), one.max(), one.min(), other.min(), 0) for one, other in zip(times, collectives, strict=True)
        ]
        return np.array(rows, dtype=np.int64)

    def _others(self, part: AttentionPart, sequences: Sequence[int], kind: LayerKind) -> Picoseconds:
        """Times of what follows the mixer, shape (sequences, 5)."""
        stage, batch = self._attending(part, sequences)
        builder, is_moe = TemplateBuilder("", stage.span), kind.ffn is FfnKind.MOE
        if is_moe:
            merges = self.facts.runtime.merges_shared and part.phase is Phase.DECODE
            experts = replace(self._experts, shared_ffn=0) if merges else self._experts
            add_moe(builder, stage, batch, ExpertChoice(experts, 0), beside=False)
        elif kind.ffn is FfnKind.DENSE:
            add_dense_ffn(builder, stage, batch, kind)
        ops = [node.op for node in builder.nodes]
        ops = [op for op in ops if op.kind is not OpKind.EXPERTS and not isinstance(op, WeightedSum)]
        shared, trunk = self._computed(
            ([op for op in ops if _is_shared(op)], [op for op in ops if not _is_shared(op)]), part.in_exchange
        )
        (collectives,) = self._collectives(
            [[node for node in builder.nodes if not is_moe or node.key.startswith("moe.shared")]]
        )
        rows = (trunk + shared, trunk, collectives)
        whole, trunk, collectives = (
            np.broadcast_to(one, stage.attention.size).reshape(len(sequences), -1) for one in rows
        )
        exchanged = collectives.min(axis=1)
        kinds = (0 * exchanged, exchanged) if is_moe else (exchanged, 0 * exchanged)
        return np.stack([whole.min(axis=1), whole.max(axis=1), trunk.min(axis=1), *kinds], axis=1)

    def _attending(self, part: AttentionPart, sequences: Sequence[int]) -> tuple[Stage, Batch]:
        """A stage on which each group of tp and cp has so many sequences."""
        layout = _layout((AxisKind.DP, len(sequences)), (AxisKind.CP, part.cp), (AxisKind.TP, part.tp))
        options = Options(
            sequence_parallel=part.sequence_parallel, decode_context=part.decode_context,
            shared_replicated=part.shared_replicated,
        )  # fmt: skip
        stage = self._stage(layout, _layout((AxisKind.DP, layout.size)), options, part.cp * part.tp)
        held = np.repeat(np.array(sequences, dtype=np.float64), part.cp * part.tp)
        return stage, batch_of(compress_uniform(held), part.phase, layout, self.facts.workload, part.decode_context)

    def _computed(self, runs: Sequence[Sequence[Op]], in_exchange: bool) -> list[Picoseconds]:
        """The sum of the computations of each run of operators, by rank and copy."""
        device = self.facts.cluster.device
        device = beside_exchange(device) if in_exchange else device
        setting = Setting(device, self.facts.model.activation_dtype, self.facts.runtime.tunes_expert_shards)
        computing = [[op for op in run if isinstance(op, Computation) and op.lane is Lane.COMPUTE] for run in runs]
        costs = iter(operator_costs([op for run in computing for op in run], setting, self._known))
        return [sum([next(costs).duration for _ in run], np.zeros(1, dtype=np.int64)) for run in computing]

    def _collectives(self, runs: Sequence[Iterable[Node]]) -> list[Picoseconds]:
        """The sum of the collectives of each run of nodes at least, by rank."""
        packed = [[node.op for node in run if isinstance(node.op, Communication)] for run in runs]
        ops = [op for run in packed for op in run]
        costs = collective_costs(
            [*ops, *(replace(op, groups=_spread(op.groups)) for op in ops)], self._fabric, self._known
        )
        lower_bounds = iter([
            np.minimum(one.duration, other.duration)
            for one, other in zip(costs[: len(ops)], costs[len(ops) :], strict=True)
        ])  # fmt: skip
        return [sum([next(lower_bounds) for _ in run], np.zeros(1, dtype=np.int64)) for run in packed]

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

    def _stage(self, attention: Layout, experts: Layout, options: Options, size: int) -> Stage:
        """A stage of groups of so many ranks, each of which begins on a node of its own."""
        nowhere, node = Span(Source("", ""), 0, 0), self.facts.cluster.gpus_per_node
        group, rank = np.divmod(np.arange(attention.size, dtype=np.int64), size)
        own = place(group * (-(-size // node) * node) + rank, node)
        runtime = self.facts.runtime
        return Stage(
            self.shapes, options, attention, experts, own, None, nowhere, nowhere,
            lays_rows=runtime.lays_rows, fuses_latents=runtime.fuses_latents,
        )  # fmt: skip


def shapes_of(facts: Facts) -> ModelShapes:
    """The shapes of the model, which the caller knows that it has."""
    shapes = facts.model.shapes()
    if shapes is None:
        raise ValueError("lower bounds need a model with shapes")
    return shapes


def _layout(*factors: tuple[AxisKind, int]) -> Layout:
    return Layout(tuple(Factor(axis, degree) for axis, degree in factors if degree > 1))


def _spread(groups: Groups) -> Groups:
    """Groups that have a node for each rank."""
    return Groups(groups.members, np.full_like(groups.nodes, groups.size), np.ones_like(groups.local))


def _mixing(kind: LayerKind) -> LayerKind:
    """The kind without its feed-forward part."""
    return replace(kind, ffn=FfnKind.NONE, dense_ffn=0)


def _feeding(kind: LayerKind) -> LayerKind:
    """The kind without its mixer."""
    return LayerKind(kind.ffn, dense_ffn=kind.dense_ffn)


def _apart(op: Op) -> Op:
    """The operator without casts: tokens come to a pool of experts in their type, and were cast before."""
    return replace(op, cast=NOTHING) if isinstance(op, GroupedGemm) else op


def _is_shared(op: Op) -> bool:
    """Whether it is a part of shared experts."""
    part = op.matrix.part if isinstance(op, Gemm) else op.part if isinstance(op, Elementwise) else None
    return part is Part.SHARED_EXPERTS
