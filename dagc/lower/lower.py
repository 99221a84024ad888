"""A checked plan to its graph: `lower` takes the meaning of a strategy with shapes, and yields every phase.

Assumes a legal deployment and a model with shapes. Prefill computes the prompts of the whole batch; decode computes
one token of every sequence against the mean context (see `batch`). The graph is that of the first replica. Nothing
here prices or schedules; templates are built once for each distinct kind of layer, size of micro-batch and pattern of
ranks on nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from dagc.catalog.model import FfnKind, LayerKind, ModelShapes
from dagc.graph.graph import Graph, Load, PhaseGraph, Segment, StageProgram, Team, Template
from dagc.lower.attention import add_attention
from dagc.lower.batch import Batch, batch_of, halves
from dagc.lower.builder import TemplateBuilder, evenly
from dagc.lower.experts import add_moe
from dagc.lower.ffn import add_dense_ffn
from dagc.lower.handover import lower_handover
from dagc.lower.overlap import interleave
from dagc.lower.pipeline import (
    add_embedding,
    add_head,
    add_receive,
    add_send,
    add_token_receive,
    add_token_send,
)
from dagc.lower.stage import Stage
from dagc.lower.topology import Placement, place
from dagc.plan.deployment import Deployment, Phase, Pool, Role, Service
from dagc.plan.layout import Layout
from dagc.plan.plan import Plan
from dagc.plan.splits import fullest_replica, micro_batch_sequences, sequences_per_rank, stage_layers
from dagc.source import Span
from dagc.syntax.tree import Axis, AxisKind, Fold, Pools, Strategy

Fill = Callable[[TemplateBuilder, Batch], None]


def lower(plan: Plan) -> Graph:
    """The graph of a plan: prefill, one decode step, and the hand-over of the cache where the phases have own pools.

    Raises ValueError when the model has no shapes, which the caller rules out.
    """
    shapes = plan.facts.model.shapes()
    if shapes is None:
        raise ValueError("lowering needs a model with shapes")
    services = plan.deployment.services
    prefill = _PhaseLowering(plan, shapes, services[0], Phase.PREFILL).graph()
    decode = _PhaseLowering(plan, shapes, services[-1], Phase.DECODE).graph()
    handover = lower_handover(plan, shapes) if len(services) > 1 else None
    return Graph(prefill, decode, handover, plan.deployment.replicas)


@dataclass(slots=True)
class _Templates:
    """Templates built so far, by what they depend on."""

    built: list[Template] = field(default_factory=list[Template])
    index: dict[tuple[object, ...], int] = field(default_factory=dict[tuple[object, ...], int])
    names: dict[str, int] = field(default_factory=dict[str, int])

    def get(self, name: str, identity: tuple[object, ...], build: Callable[[str], Template]) -> int:
        """The template of this name and identity, built when first asked for; keys are numbered from the second."""
        identity = (name, *identity)
        if identity not in self.index:
            number = self.names[name] = self.names.get(name, 0) + 1
            self.index[identity] = len(self.built)
            self.built.append(build(name if number == 1 else f"{name}.{number}"))
        return self.index[identity]


@dataclass(slots=True)
class _PhaseLowering:
    """One phase of one service on its way to a graph."""

    plan: Plan
    shapes: ModelShapes
    service: Service
    phase: Phase
    templates: _Templates = field(default_factory=_Templates)

    def graph(self) -> PhaseGraph:
        """Programs of every size of micro-batch and every stage."""
        deployment, service = self.deployment, self.service
        fullest = fullest_replica(deployment, service, self.plan.facts.workload.batch)
        sequences = micro_batch_sequences(service, fullest)
        sizes = tuple(dict.fromkeys(sequences))
        programs = tuple(tuple(self._program(size, stage) for stage in range(service.stages)) for size in sizes)
        return PhaseGraph(
            phase=self.phase,
            service="main" if service.phase is Phase.BOTH else str(service.phase),
            teams=self._teams(),
            templates=tuple(self.templates.built),
            programs=programs,
            micro_batches=tuple(sizes.index(count) for count in sequences),
            sequences=sizes,
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

    def _teams(self) -> tuple[Team, ...]:
        """A team for each stage of each pool: the stages of the first pool, then those of the second."""
        return tuple(
            Team(pool.name, stage, self.deployment.global_ranks(self.service, pool, stage))
            for pool in self.service.pools
            for stage in range(pool.stages)
        )

    def placement(self, pool: Pool, stage: int) -> Placement:
        """Where a stage of a pool sits."""
        ranks = self.deployment.global_ranks(self.service, pool, stage)
        return place(ranks, self.plan.facts.cluster.gpus_per_node)

    def _stage(self, number: int) -> Stage:
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
            pipeline=_axis_span(self.deployment.strategy.body, AxisKind.PP, service.span),
        )

    def _program(self, sequences: int, number: int) -> StageProgram:
        pools = self.service.pools
        teams = [number]
        if len(pools) > 1:
            teams.append(self.service.stages + min(number, pools[1].stages - 1))
        segments = _StageLowering(self, self._stage(number), number, sequences).segments()
        return StageProgram(number, tuple(teams), tuple(segments))


@dataclass(slots=True)
class _StageLowering:
    """One stage and one size of micro-batch on its way to a program."""

    phase: _PhaseLowering
    stage: Stage
    number: int
    sequences: int

    def segments(self) -> Iterator[Segment]:
        """What arrives, the layers in runs of one kind, what leaves."""
        yield from self._arrival()
        first = sum(self._layers[: self.number])
        kinds = self.stage.shapes.layer_kinds()[first : first + self._layers[self.number]]
        for kind, run in groupby(kinds):
            count = len(tuple(run))
            yield Segment(self._layer(kind), count, first)
            first += count
        yield from self._departure()

    @property
    def _layers(self) -> tuple[int, ...]:
        return stage_layers(self.phase.service, self.stage.shapes.layers)

    @property
    def _is_last(self) -> bool:
        return self.number == self.phase.service.stages - 1

    @property
    def _loops(self) -> bool:
        """Whether sampled tokens must travel back to the first stage."""
        return self.phase.phase is Phase.DECODE and self.phase.service.stages > 1

    def _arrival(self) -> Iterator[Segment]:
        stage, streams = self.stage, len(self._batches())
        if self.number > 0:
            peer = self._peer(self.number - 1)
            yield self._around("pipeline.receive", lambda b, m: add_receive(b, stage, m, peer), peer, streams)
            return
        if self._loops:
            peer = self._peer(self.phase.service.stages - 1)
            yield self._around("token.receive", lambda b, m: add_token_receive(b, stage, m, peer), peer)
        yield self._around("embedding", lambda b, m: add_embedding(b, stage, m), None, streams)

    def _departure(self) -> Iterator[Segment]:
        stage, streams = self.stage, len(self._batches())
        if not self._is_last:
            peer = self._peer(self.number + 1)
            yield self._around("pipeline.send", lambda b, m: add_send(b, stage, m, peer, streams), peer)
            return
        yield self._around("head", lambda b, m: add_head(b, stage, m, streams), None)
        if self._loops:
            peer = self._peer(0)
            yield self._around("token.send", lambda b, m: add_token_send(b, stage, m, peer), peer)

    def _peer(self, number: int) -> Placement:
        return self.phase.placement(self.phase.service.attention_pool, number)

    def _around(self, name: str, fill: Fill, peer: Placement | None, streams: int = 1) -> Segment:
        """A segment outside the layers, on the whole micro-batch; what follows may take its output in two streams."""
        pair = b"" if peer is None else self.stage.own.opposite(peer).nodes.tobytes()

        def build(key: str) -> Template:
            builder = TemplateBuilder(key, self.stage.span)
            fill(builder, self._whole())
            return Template(key, tuple(builder.nodes), (builder.last,) * streams)

        return Segment(self.phase.templates.get(name, (self.sequences, self._pattern, pair), build), 1, None)

    def _layer(self, kind: LayerKind) -> int:
        name = str(kind.ffn) if kind.window is None else f"{kind.ffn}.window{kind.window}"

        def build(key: str) -> Template:
            batches = self._batches()
            builders = [self._fill_layer(key, kind, batch, beside=len(batches) > 1) for batch in batches]
            if len(builders) == 1:
                return builders[0].template()
            return interleave(key, (builders[0].nodes, builders[1].nodes))

        return self.phase.templates.get(name, (self.sequences, self._pattern), build)

    def _fill_layer(self, key: str, kind: LayerKind, batch: Batch, beside: bool) -> TemplateBuilder:
        builder = TemplateBuilder(key, self.stage.span)
        add_attention(builder, self.stage, batch, kind.window)
        if kind.ffn is FfnKind.MOE:
            add_moe(builder, self.stage, batch, beside)
        else:
            add_dense_ffn(builder, self.stage, batch)
        return builder

    @property
    def _pattern(self) -> bytes:
        pool = self.stage.pool
        return self.stage.own.pattern + (b"" if pool is None else b"|" + pool.pattern + self._joined(pool))

    def _joined(self, pool: Placement) -> bytes:
        """Whether both pools are one node."""
        return self.stage.own.peers(pool).nodes[:1].tobytes()

    def _whole(self) -> Batch:
        return self._batch_of(evenly(sequences_per_rank(self.stage.attention, self.sequences)))

    def _batches(self) -> tuple[Batch, ...]:
        """The micro-batch, or its halves where overlap is asked and there are two sequences to part."""
        whole = self._whole()
        if self.stage.options.overlap == 1 or whole.sequences.max() < 2:
            return (whole,)
        return tuple(self._batch_of(half) for half in halves(whole.sequences))

    def _batch_of(self, sequences: Load) -> Batch:
        return batch_of(
            sequences, self.phase.phase, self.stage.attention, self.phase.plan.facts.workload,
            self.stage.options.decode_context,
        )  # fmt: skip


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
