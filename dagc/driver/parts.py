"""Computing times of the parts of a layer, which many cuts share.

What a rank of attention computes of a layer (mixer, norms, router, shared experts, a dense layer's network) depends on
its sequences and on tp and cp, not on how many others there are beside it, nor on how experts are cut. What a rank of
the experts computes depends on how these are cut and on the tokens that its expert group has, from any rank. So
both are lowered and priced by themselves, with communication left out: the former for each number of sequences, the
latter for many numbers of tokens at once, each in a copy of the experts of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dagc.catalog.model import Experts as ModelExperts
from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.catalog.parameters import part_stored
from dagc.catalog.part import Part
from dagc.cost.operators import operator_cost
from dagc.cost.sharing import beside_exchange
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
from dagc.search.candidate import Experts
from dagc.source import Source, Span
from dagc.syntax.tree import AxisKind

LEAST, MOST, TRUNK = range(3)
"""Rows of times of attention's part: of the rank with least and with most to do, and the least but for shared experts.
"""

SUMS = 2
"""The experts' part has in its last row what sums of results take at least, which the others leave out: the rank with
the most tokens of experts need not be the one with the most sums."""

_BELOW = 1.0 - 1e-9
"""Tokens of experts, and then their products, are taken as so many less: sums that are rounded in another order must
not come to one more tile, or to one more wave of tiles."""

_NODES = 4
"""Nodes of the experts' part, each of which may be a picosecond less for that."""


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
    experts: Experts
    redundant: int
    overlap: int
    in_exchange: bool
    apart: bool


Work = tuple[AttentionPart | ExpertsPart, Sequence[float]]
"""A part, with the sequences of a rank or the tokens of an expert group that are asked about."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Computing times of parts under the facts of one plan, whose model has shapes; wherever no rank is slowed."""

    facts: Facts
    shapes: ModelShapes

    def times(self, work: Work) -> Picoseconds:
        """Times of a part of each layer for each amount, shape (amounts, 3, layers)."""
        part, amounts = work
        if isinstance(part, AttentionPart):
            return self.attention(part, [int(one) for one in amounts])
        return self.experts(part, amounts)

    def attention(self, part: AttentionPart, sequences: Sequence[int]) -> Picoseconds:
        """Times of attention's part of each layer, for ranks that have so many sequences.

        `LEAST`, `MOST` and `TRUNK`, shape (sequences, 3, layers). The rank that has least to do of the mixer has least
        to do of the rest.
        """
        kinds = self.shapes.layer_kinds()
        mixers = {one: self._mixers(part, sequences, one) for one in dict.fromkeys(map(_mixing, kinds))}
        others = {one: self._others(part, sequences, one) for one in dict.fromkeys(kind.ffn for kind in kinds)}
        return np.stack([mixers[_mixing(kind)] + others[kind.ffn] for kind in kinds], axis=2)

    def experts(self, part: ExpertsPart, tokens: Sequence[float]) -> Picoseconds:
        """Times of the experts' part for expert groups of so many tokens, 0 in layers without.

        `LEAST`, `MOST` and `SUMS`, shape (tokens, 3, layers). Weights with scales of their own count as more experts
        that are hit, but as no more than there are; as that is known of the largest group alone, times are less by the
        scales' share.
        """
        is_moe = np.array([kind.ffn is FfnKind.MOE for kind in self.shapes.layer_kinds()])
        choice = self._choice(part.redundant, np.flatnonzero(is_moe))
        count, size = len(tokens), part.experts.size
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
        least = np.floor(ends * (stored.dtype.bytes / stored.bytes)) - _NODES
        found = np.zeros((count, 3, len(is_moe)), dtype=np.int64)
        found[:, :, is_moe] = np.maximum(least, 0).transpose(2, 1, 0)
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
        ops = [node.op for node in builder.nodes if node.op.kind is not OpKind.EXPERTS]
        ops = [op for op in ops if not isinstance(op, WeightedSum)]
        shared = [op for op in ops if _is_shared(op)]
        trunk = self._time([op for op in ops if op not in shared], part.in_exchange)
        whole = trunk + self._time(shared, part.in_exchange)
        ranks = (stage.attention.size,)
        whole, trunk = (np.broadcast_to(one, ranks).reshape(len(sequences), -1) for one in (whole, trunk))
        return np.stack([whole.min(axis=1), whole.max(axis=1), trunk.min(axis=1)], axis=1)

    def _attending(self, part: AttentionPart, sequences: Sequence[int]) -> tuple[Stage, Batch]:
        """A stage on which each group of tp and cp has so many sequences."""
        layout = _layout((AxisKind.DP, len(sequences)), (AxisKind.CP, part.cp), (AxisKind.TP, part.tp))
        options = Options(
            sequence_parallel=part.sequence_parallel,
            decode_context=part.decode_context,
            shared_replicated=part.shared_replicated,
        )
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
    def _experts(self) -> ModelExperts:
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


def parts_of(facts: Facts) -> Parts:
    """The parts of a plan's model. Raises ValueError where that has no shapes."""
    shapes = facts.model.shapes()
    if shapes is None:
        raise ValueError("times of parts need a model with shapes")
    return Parts(facts, shapes)


def _layout(*factors: tuple[AxisKind, int]) -> Layout:
    return Layout(tuple(Factor(axis, degree) for axis, degree in factors if degree > 1))


def _mixing(kind: LayerKind) -> LayerKind:
    """The kind without its feed-forward part."""
    return replace(kind, ffn=FfnKind.NONE)


def _is_shared(op: Op) -> bool:
    """Whether it is a part of shared experts."""
    part = op.matrix.part if isinstance(op, Gemm) else op.part if isinstance(op, Elementwise) else None
    return part is Part.SHARED_EXPERTS
