"""One phase of one service to its graph: templates of layers, and the program of each stage and micro-batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.degrees import AxisKind
from dagc.graph.graph import PhaseGraph, Segment, StageProgram, Team, Template
from dagc.lower.batch import Batch, StepLoad, batch_of, halves, mixed, step_batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.experts import add_moe
from dagc.lower.ffn import add_dense_ffn
from dagc.lower.mixer import add_mixer
from dagc.lower.routing import ExpertChoice, popularity_ranks, slot_chances
from dagc.lower.stage import (
    Stage,
    add_embedding,
    add_head,
    add_receive,
    add_send,
    add_token_receive,
    add_token_send,
)
from dagc.lower.templates import LoweringCache, Templates, experts_setting, layer_name, setting
from dagc.lower.topology import Placement, place
from dagc.ops.load import Load, compress_uniform
from dagc.plan.deployment import Deployment, Phase, Pool, Role, Service
from dagc.plan.layout import Layout
from dagc.plan.plan import Plan, ReplicaClass, gathers_tokens, has_low_latency
from dagc.plan.splits import micro_batch_sequences, sequences_per_rank, stage_layers
from dagc.source import Span
from dagc.syntax.tree import Axis, Fold, Pools, Strategy

Fill = Callable[[TemplateBuilder, Batch], None]


@dataclass(slots=True)
class PhaseLowering:
    """One phase of one service on its way to a graph."""

    plan: Plan
    shapes: ModelShapes
    service: Service
    phase: Phase
    alike: ReplicaClass
    riding: float = 0.0
    known: LoweringCache = field(default_factory=LoweringCache)
    load: StepLoad | None = None
    templates: Templates = field(init=False)
    _teams: dict[tuple[str, int], Team] = field(default_factory=dict[tuple[str, int], Team])
    _places: dict[tuple[str, int], Placement] = field(default_factory=dict[tuple[str, int], Placement])
    _wholes: dict[int, Batch] = field(default_factory=dict[int, Batch])
    _halves: dict[int, tuple[Batch, ...]] = field(default_factory=dict[int, tuple[Batch, ...]])

    def __post_init__(self) -> None:
        """No template yet."""
        self.templates = Templates(self.known, (*setting(self.service, self.phase), self.riding, self._held, self.load))

    @property
    def _held(self) -> int:
        """Sequences among which riding prompts are spread; 0 where none ride."""
        return self.alike.sequences if self.riding else 0

    def graph(self) -> PhaseGraph:
        """Programs of every size of micro-batch and every stage."""
        service = self.service
        sequences = micro_batch_sequences(service, self.alike.sequences)
        sizes = tuple(dict.fromkeys(sequences))
        programs = tuple(tuple(self._program(size, stage) for stage in range(service.stages)) for size in sizes)
        return PhaseGraph(
            phase=self.phase,
            service="main" if service.phase is Phase.BOTH else str(service.phase),
            teams=tuple(self.team(pool, stage) for pool in self.service.pools for stage in range(pool.stages)),
            templates=tuple(self.templates.built),
            programs=programs,
            micro_batches=tuple(sizes.index(count) for count in sequences),
            sequences=sizes,
            replicas=self.alike.replicas,
        )

    @property
    def deployment(self) -> Deployment:
        """The deployment of the plan."""
        return self.plan.deployment

    @property
    def layout(self) -> Layout:
        """The attention's layout of a stage."""
        layout = self.service.attention_pool.attention
        if layout is None:
            raise ValueError("the first pool of a service computes attention")
        return layout

    def team(self, pool: Pool, stage: int) -> Team:
        """The ranks of a stage of a pool, in the first replica of the class."""
        stage = min(stage, pool.stages - 1)
        if (pool.name, stage) not in self._teams:
            ranks = self.deployment.global_ranks(self.service, pool, stage, self.alike.replicas[0])
            self._teams[pool.name, stage] = Team(pool.name, stage, ranks, self.plan.slowdown(ranks))
        return self._teams[pool.name, stage]

    def placement(self, pool: Pool, stage: int) -> Placement:
        """Where a stage of a pool sits."""
        team = self.team(pool, stage)
        if (pool.name, team.stage) not in self._places:
            gpus_per_node = self.plan.facts.cluster.gpus_per_node
            self._places[pool.name, team.stage] = place(team.ranks, gpus_per_node, self.known.groups)
        return self._places[pool.name, team.stage]

    def whole(self, sequences: int) -> Batch:
        """A micro-batch of so many sequences on the attention ranks; it is the same on every stage."""
        if sequences not in self._wholes:
            self._wholes[sequences] = self._batch_of(compress_uniform(sequences_per_rank(self.layout, sequences)))
        return self._wholes[sequences]

    def batches(self, sequences: int) -> tuple[Batch, ...]:
        """The micro-batch, or its halves where overlap is asked and there are two sequences to part."""
        if sequences not in self._halves:
            whole = self.whole(sequences)
            is_one = self.streams(sequences) == 1
            parts = (whole,) if is_one else tuple(self._batch_of(half) for half in halves(whole.sequences))
            self._halves[sequences] = parts
        return self._halves[sequences]

    def streams(self, sequences: int) -> int:
        """Parts in which a micro-batch of so many sequences goes through a layer."""
        fullest = -(-sequences // self.layout.dp)
        return 1 if self.service.options.overlap == 1 or fullest < 2 else 2

    def _batch_of(self, sequences: Load) -> Batch:
        workload, shares, load = self.plan.facts.workload, self.service.options.decode_context, self.load
        if load:
            batch = step_batch(load, sequences, self.phase, self.layout, workload.drafted, shares)
        else:
            batch = batch_of(sequences, self.phase, self.layout, workload, shares)
        if not self.riding:
            return batch
        held = sequences_per_rank(self.layout, self.alike.sequences).max()
        riding = np.array([self.riding * float(sequences.max()) / float(held)])
        if load:
            return mixed(batch, riding * load.spread(self.layout), load.fresh, load.start)
        return mixed(batch, riding, workload.fresh, workload.prefix)

    def stage(self, number: int) -> Stage:
        """A stage as its templates see it."""
        service = self.service
        pool = service.experts_pool
        separate = pool.role is Role.EXPERTS
        return Stage(
            shapes=self.shapes,
            options=service.options,
            attention=self.layout,
            experts=pool.experts,
            own=self.placement(service.attention_pool, number),
            pool=self.placement(pool, number) if separate else None,
            span=service.span,
            pipeline=self._pipeline,
            sums_experts=self.plan.facts.runtime.sums_experts and service.options.overlap == 1,
            gathers_experts=gathers_tokens(self.plan, service),
            holds_pairs=self.plan.facts.runtime.holds_pairs,
            lays_rows=self.plan.facts.runtime.lays_rows,
            has_low_latency=has_low_latency(self.plan, service),
            merges_shared=self.plan.facts.runtime.merges_shared and service.options.overlap == 1,
            fuses_latents=self.plan.facts.runtime.fuses_latents,
            computes_mxfp4=Dtype.MXFP4 in self.plan.device_of(pool).flops,
        )

    @property
    def _pipeline(self) -> Span:
        """Where `pp` is written, which nothing asks for that has one stage."""
        whole = self.service.span
        return whole if self.service.stages == 1 else _axis_span(self.deployment.strategy.body, AxisKind.PP, whole)

    def _program(self, sequences: int, number: int) -> StageProgram:
        pools = self.service.pools
        teams = [number]
        if len(pools) > 1:
            teams.append(self.service.stages + min(number, pools[1].stages - 1))
        segments = _StageLowering(self, number, sequences).segments()
        return StageProgram(number, tuple(teams), tuple(segments))


@dataclass(slots=True)
class _StageLowering:
    """One stage and one size of micro-batch on its way to a program."""

    phase: PhaseLowering
    number: int
    sequences: int
    _own: Placement = field(init=False)
    _streams: int = field(init=False)
    _pattern: tuple[bytes, ...] = field(init=False)
    _stage: Stage | None = None

    def __post_init__(self) -> None:
        """How ranks lie, and how many streams there are, which all templates depend on."""
        self._own = self.phase.placement(self.phase.service.attention_pool, self.number)
        self._streams = self.phase.streams(self.sequences)
        self._pattern = self._pattern_of_ranks()

    @property
    def stage(self) -> Stage:
        """What the templates of the stage are built from; most are known."""
        if self._stage is None:
            self._stage = self.phase.stage(self.number)
        return self._stage

    def segments(self) -> Iterator[Segment]:
        """What arrives, the layers in runs of one kind, what leaves."""
        yield from self._arrival()
        first = sum(self._layers[: self.number])
        kinds = self.phase.shapes.layer_kinds()[first : first + self._layers[self.number]]
        for kind, run in groupby(kinds):
            count = len(tuple(run))
            yield Segment(self._layer(kind, range(first, first + count)), count, first)
            first += count
        yield from self._departure()

    @property
    def _layers(self) -> tuple[int, ...]:
        return stage_layers(self.phase.service, self.phase.shapes.layers)

    @property
    def _is_last(self) -> bool:
        return self.number == self.phase.service.stages - 1

    @property
    def _loops(self) -> bool:
        """Whether sampled tokens must travel back to the first stage."""
        return self.phase.phase is Phase.DECODE and self.phase.service.stages > 1

    def _arrival(self) -> Iterator[Segment]:
        streams = self._streams
        if self.number > 0:
            peer = self._peer(self.number - 1)
            yield self._around("pipeline.receive", lambda b, m: add_receive(b, self.stage, m, peer), peer, streams)
            return
        if self._loops:
            peer = self._peer(self.phase.service.stages - 1)
            yield self._around("token.receive", lambda b, m: add_token_receive(b, self.stage, m, peer), peer)
        yield self._around("embedding", lambda b, m: add_embedding(b, self.stage, m), None, streams)

    def _departure(self) -> Iterator[Segment]:
        streams = self._streams
        if not self._is_last:
            peer = self._peer(self.number + 1)
            yield self._around("pipeline.send", lambda b, m: add_send(b, self.stage, m, peer, streams), peer)
            return
        yield self._around("head", lambda b, m: add_head(b, self.stage, m, streams), None)
        if self._loops:
            peer = self._peer(0)
            yield self._around("token.send", lambda b, m: add_token_send(b, self.stage, m, peer), peer)

    def _peer(self, number: int) -> Placement:
        return self.phase.placement(self.phase.service.attention_pool, number)

    def _around(self, name: str, fill: Fill, peer: Placement | None, streams: int = 1) -> Segment:
        """A segment outside the layers, on the whole micro-batch; what follows may take its output in two streams."""
        pair = b"" if peer is None else self._own.shares_nodes(peer).tobytes()

        def build(key: str) -> Template:
            builder = TemplateBuilder(key, self.stage.span)
            fill(builder, self.phase.whole(self.sequences))
            return Template(key, tuple(builder.nodes), (builder.last,) * streams)

        identity = (self.sequences, self._pattern, self._streams, pair)
        return Segment(self.phase.templates.get(name, identity, build), 1, None)

    def _layer(self, kind: LayerKind, layers: range) -> int:
        is_drawn = kind.ffn is FfnKind.MOE and self.phase.plan.facts.workload.is_skewed
        drawn = layers if is_drawn else None
        name, streams = layer_name(kind), self._streams
        is_moe = kind.ffn is FfnKind.MOE
        experts = (*experts_setting(self.phase.service), self.stage.has_low_latency) if is_moe else ()

        def build(key: str) -> Template:
            batches = self._batches
            beside = len(batches) > 1 or self.stage.options.shared_beside
            builders = [self._fill_layer(key, kind, batch, drawn, beside) for batch in batches]
            if len(builders) == 1:
                return builders[0].template()
            from dagc.lower.overlap import interleave

            return interleave(key, (builders[0].nodes, builders[1].nodes))

        identity = (self.sequences, self._pattern, streams, drawn, kind, experts)
        return self.phase.templates.get(name, identity, build)

    def _fill_layer(
        self, key: str, kind: LayerKind, batch: Batch, drawn: range | None, beside: bool
    ) -> TemplateBuilder:
        builder = self._mixer(kind, batch).begun(key)
        if kind.ffn is FfnKind.MOE:
            add_moe(builder, self.stage, batch, self._choice(drawn), beside)
        elif kind.ffn is FfnKind.DENSE:
            add_dense_ffn(builder, self.stage, batch, kind)
        return builder

    def _mixer(self, kind: LayerKind, batch: Batch) -> TemplateBuilder:
        """What mixes tokens, with which a layer begins."""
        load = (batch.sequences.tobytes(), batch.tokens.tobytes(), self.phase.riding)
        identity = (*self.phase.templates.setting, self._pattern, kind.mixer, kind.window, *load)
        known = self.phase.known.mixers
        if identity not in known:
            builder = known[identity] = TemplateBuilder("", self.stage.span)
            add_mixer(builder, self.stage, batch, kind)
        return known[identity]

    def _choice(self, drawn: range | None) -> ExpertChoice:
        """How tokens choose experts in these layers; None where all layers are alike."""
        shapes, redundant = self.stage.shapes, self.stage.options.redundant
        if shapes.experts is None:
            raise ValueError("an MoE layer needs experts")
        if drawn is None:
            return ExpertChoice(shapes.experts, redundant)
        workload = self.phase.plan.facts.workload
        order = popularity_ranks(shapes.experts.count, shapes.layers, workload.seed)[drawn.start : drawn.stop]
        return ExpertChoice(shapes.experts, redundant, slot_chances(shapes.experts, redundant, order, workload))

    @property
    def _batches(self) -> tuple[Batch, ...]:
        return self.phase.batches(self.sequences)

    def _pattern_of_ranks(self) -> tuple[bytes, ...]:
        """Equal for stages on which a template costs the same: ranks on nodes, and slowed ones among them."""
        service, experts = self.phase.service, self.phase.service.experts_pool
        pool = self.phase.placement(experts, self.number) if experts.role is Role.EXPERTS else None
        slowed = tuple(self.phase.team(one, self.number).slowdown.tobytes() for one in service.pools)
        return (self._own.pattern, *slowed, *(() if pool is None else (pool.pattern, self._joined(pool))))

    def _joined(self, pool: Placement) -> bytes:
        """Whether both pools are one node."""
        return self._own.peers(pool).nodes[:1].tobytes()


def _axis_span(strategy: Strategy, kind: AxisKind, within: Span) -> Span:
    """Where an axis is written inside a service's part of the text, else that part."""
    spans = (a.span for a in _axes(strategy) if a.kind is kind and within.start <= a.span.start < within.end)
    return next(spans, within)


def _axes(strategy: Strategy) -> Iterator[Axis]:
    if isinstance(strategy, Fold | Pools):
        for branch in strategy.branches:
            yield from _axes(branch)
        return
    if isinstance(strategy, Axis):
        yield strategy
    if strategy.body is not None:
        yield from _axes(strategy.body)
