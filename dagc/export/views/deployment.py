"""The deployment view: pools, replicas and stages with their GPUs, what they hold, and what goes between them.

One card has all replicas of a service, and all stages that are alike. Its GPUs are drawn one by one in a small
deployment, else node by node, folded; its other figures are those of one stage of the slowest replica.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dagc.export.titles import layer_kind, rank_text, span_text, time_text
from dagc.export.traffic import StageTraffic, crossing
from dagc.export.typesetting import folded_lines
from dagc.export.view_model import StageView
from dagc.export.views.gpus import MOST_GPUS, every_gpu, folded_gpus, kind_of
from dagc.export.views.rank_rows import pool_figures
from dagc.export.views.strategy import Served, StrategyView, Thinned, crossing_text, experts_anchor, thinned
from dagc.export.views.view import Arrow, ArrowKind, Bar, Box, BoxShape, Cluster, Distance, View, Words
from dagc.export.views.work import period, stage_work
from dagc.graph.graph import Team
from dagc.graph.priced import PICOSECONDS, Bound
from dagc.ops.communication import Matching
from dagc.ops.message import Send
from dagc.ops.op import Op
from dagc.ops.token_exchange import TRANSFERS
from dagc.plan.deployment import Pool, Role, Service
from dagc.plan.layout import Layout
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline
from dagc.units import format_bytes, format_gpus, format_share

_CHARACTERS, _LINES = 110, 3
"""Of what is folded."""

NETWORK = "network"
"""What joins nodes."""

MOST_ACROSS = 4
"""Cards beside each other; more are drawn below each other."""

MOST_STAGES = 40
"""Different stages of a service that are drawn; of more, those in the middle are folded."""


def deployment_view(strategy: StrategyView) -> View:
    """Pools, replicas and stages."""
    parts = [_Service(strategy, served) for served in strategy.served]
    arrows = [arrow for part in parts for arrow in part.arrows()]
    if strategy.handover is not None:
        arrows.append(_handover(strategy.handover, parts[0], parts[-1]))
    notes = (*strategy.notes(), *(note for part in parts for note in part.notes()))
    members = tuple(part.cluster() for part in parts)
    across = sum(len(part.own()) for part in parts) <= MOST_ACROSS
    return View(
        Distance.DEPLOYMENT,
        strategy.name,
        strategy.title(),
        notes,
        members,
        tuple(arrows),
        across=across,
        others=strategy.others(Distance.DEPLOYMENT),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Service:
    """One service on its way into the view."""

    strategy: StrategyView
    served: Served

    @property
    def stages(self) -> Thinned[StageView]:
        return thinned(self.served.view.stages, MOST_STAGES)

    @property
    def name(self) -> str:
        return f"{self.served.stage_anchor(0)}.service"

    @property
    def replicas(self) -> int:
        return self.strategy.plan.deployment.replicas * self.served.service.replicas

    def cluster(self) -> Cluster:
        each = self.served.service.gpus_per_replica
        size = f"{format_gpus(each)}"
        if self.replicas > 1:
            size = f"×{self.replicas} replicas of {size}, figures of one"
        lines = (self.served.heading, size, *self._returns())
        pools = tuple(self._pool(pool) for pool in self.served.service.pools)
        members = pools if len(pools) > 1 else self.own()
        return Cluster(self.name, lines, members, folded=self.replicas > 1)

    def notes(self) -> tuple[str, ...]:
        lines: list[str] = []
        if self.replicas > 1:
            kinds = 1 + sum(phase.service == self.served.name for phase in self.strategy.graph.others)
            alike = "identical" if kinds == 1 else "figures of the slowest"
            lines.append(f"folded: {self.served.name} ×{self.replicas} replicas, {alike}")
        folds = [s.title for s in self.stages.first + self.stages.last if s.count > 1]
        if folds:
            lines += folded_lines(f"folded: {'; '.join(folds)}", _CHARACTERS, _LINES)
        if self.stages.between:
            lines.append(f"folded: {self.stages.hidden} stages in the middle, because the picture would be too large")
        return tuple(lines)

    def _pool(self, pool: Pool) -> Cluster:
        boxes = self._experts(pool) if pool.role is Role.EXPERTS else self.own()
        named = f"pool {pool.name.rpartition('.')[2]}: {format_gpus(pool.gpus_per_replica)}"
        chain = tuple(box.name for box in boxes)
        return Cluster(f"{self.name}.{pool.role.value}", (named,), boxes, role=pool.role, chains=(chain,))

    def own(self) -> tuple[Box, ...]:
        """Stages of the pool that computes attention, or everything."""
        pool = self.served.service.attention_pool
        boxes = [self._stage(pool, view) for view in self.stages.first]
        if self.stages.between:
            lines = (f"{self.stages.hidden} more stages", "folded: the picture would be too large")
            boxes.append(Box(f"{self.name}.more", BoxShape.CARD, lines, folded=True))
        return tuple(boxes + [self._stage(pool, view) for view in self.stages.last])

    def _experts(self, pool: Pool) -> tuple[Box, ...]:
        """The experts' pool: one card for all stages, or one beside each."""
        shown = (*self.stages.first, *self.stages.last)
        return tuple(
            self._card(pool, view, view.teams[-1], 1, experts_anchor(self._anchor(view)))
            for view in (shown[:1] if pool.stages == 1 else shown)
        )

    def _stage(self, pool: Pool, view: StageView) -> Box:
        return self._card(pool, view, view.teams[0], 0 if len(view.teams) > 1 else None, self._anchor(view))

    def _anchor(self, view: StageView) -> str:
        return self.served.stage_anchor(view.teams[0].stage)

    def _card(self, pool: Pool, view: StageView, team: Team, which: int | None, name: str) -> Box:
        stage, shares_pool = view.teams[0].stage, pool.role is Role.EXPERTS and pool.stages == 1
        title = "experts of all stages" if shares_pool else view.title
        lines: list[Words] = [title, *self._machines(pool, view, team, shares_pool)]
        if pool.role is not Role.EXPERTS:
            lines.append(_layers(self.served, stage, view.count))
        lines.append(pool_domains(pool))
        if pool.role is not Role.EXPERTS:
            lines += self._crossing(stage)
        lines += self._memory(pool, range(team.stage, team.stage + (1 if shares_pool else view.count)))
        for phase, timeline in self.served.phases:
            chunks = self.strategy.chunks(self.served) if phase == "prefill" else 1
            lines += _work_lines(phase, timeline, stage, which, shares_pool, chunks)
            lines += self._links(timeline, stage, which, shares_pool)
        link = self.strategy.link(Distance.STAGE, self._anchor(view))
        critical = any(segment.critical for segment in view.segments)
        return Box(
            name,
            BoxShape.CARD,
            tuple(lines),
            hover=(f"{title}: open the stage view",),
            link=link,
            critical=critical,
            folded=view.count > 1 and not shares_pool,
        )

    def _machines(self, pool: Pool, view: StageView, team: Team, shares_pool: bool) -> Iterator[Words]:
        """How many GPUs, what they do, and where they are: those of all replicas, and of all stages that are alike."""
        per_node, deployment = self.strategy.plan.facts.cluster.gpus_per_node, self.strategy.plan.deployment
        stages = range(team.stage, team.stage + (1 if shares_pool else view.count))
        kind = kind_of(pool, [name for name, _ in self.served.phases])
        each = " each" if len(stages) > 1 else ""
        yield f"{format_gpus(team.width)}{each}: {kind}"
        service, count = self.served.service, len(stages) * self.replicas
        if deployment.gpus > MOST_GPUS:
            yield _place(team, per_node, count)
            every = deployment.ranks_of(service, [(pool, stage) for stage in stages])
            yield from folded_gpus(every.ravel(), kind, per_node)
            return
        placed = (
            (_whose(stage, len(stages), replica, self.replicas), deployment.global_ranks(service, pool, stage, replica))
            for replica in range(self.replicas)
            for stage in stages
        )
        yield from every_gpu(placed, kind, per_node)

    def _links(self, timeline: Timeline, stage: int, team: int | None, shares_pool: bool) -> tuple[str, ...]:
        """What the GPUs of a card send for a micro-batch, inside nodes and between them."""
        graph = timeline.priced.graph
        stages = range(len(graph.programs[0])) if shares_pool else (stage,)
        per_node = self.strategy.plan.facts.cluster.gpus_per_node
        bytes_by_link = _by_link(self.strategy.plan, [crossing(graph, stage, per_node, team) for stage in stages])
        sent = ", ".join(f"{format_bytes(size)} over {name}" for name, size in bytes_by_link.items())
        return (f"sends {sent}",) if sent else ()

    def _memory(self, pool: Pool, stages: range) -> tuple[Words, ...]:
        figures = pool_figures(self.strategy, pool)
        if figures is None:
            return ()
        held = max(float(figures.total[min(stage, pool.stages - 1)].max()) for stage in stages)
        share = held / figures.capacity_bytes
        text = f"memory {format_bytes(held)} of {format_bytes(figures.capacity_bytes)}, {format_share(share)}"
        return text, Bar(((Bound.NONE, min(1.0, share)),))

    def arrows(self) -> list[Arrow]:
        shown = (*self.stages.first, *self.stages.last)
        names = [box.name for box in self.own()]
        senders = {self._anchor(view): view for view in shown}
        found = [self._message(senders.get(a), a, b) for a, b in pairwise(names)]
        if len(self.served.service.pools) > 1:
            pooled = [box.name for box in self._experts(self.served.service.experts_pool)]
            for place, view in enumerate(shown):
                head = pooled[min(place, len(pooled) - 1)]
                is_level = place == 0 or len(pooled) > 1
                ends = self._anchor(view), head
                found.append(Arrow(*ends, ArrowKind.MESSAGE, orders=False, returns=True, level=is_level))
        return found

    def _returns(self) -> tuple[str, ...]:
        """What goes back from the last stage to the first; in words, because an arrow needs room above all stages."""
        last = self.served.phases[-1][1].priced.graph
        found = any(
            node.communication is not None and node.communication.matching is Matching.STEP
            for template in last.templates
            for node in template.nodes
        )
        stages = self.served.service.stages
        return (f"sampled tokens go back from stage {stages - 1} to stage 0",) if found and stages > 1 else ()

    def _message(self, view: StageView | None, tail: str, head: str) -> Arrow:
        return Arrow(tail, head, ArrowKind.MESSAGE, label=() if view is None else self._hidden_states(view))

    def _hidden_states(self, view: StageView) -> tuple[str, ...]:
        """Bytes of a micro-batch and their mean rate by phase, and over which link they go."""
        stage = view.teams[0].stage + view.count - 1
        sent = [self._sent(line, stage, (Send,)) for _, line in self.served.phases]
        sizes = (f"{phase}: {_rate(one, line)}" for (phase, line), one in zip(self.served.phases, sent, strict=True))
        return "hidden states", f"over {_links(self.strategy.plan, sent)}, per micro-batch", *sizes

    def _crossing(self, stage: int) -> tuple[str, ...]:
        """What goes to the experts' pool and comes back, where there is one."""
        if len(self.served.service.pools) == 1:
            return ()
        sizes = (
            f"{phase} {format_bytes(self._sent(line, stage, TRANSFERS).total)}" for phase, line in self.served.phases
        )
        return (f"dispatch and combine: {', '.join(sizes)}",)

    def _sent(self, timeline: Timeline, stage: int, ops: tuple[type[Op], ...]) -> StageTraffic:
        per_node = self.strategy.plan.facts.cluster.gpus_per_node
        return crossing(timeline.priced.graph, stage, per_node, ops=ops)


def _handover(timeline: Timeline, source: _Service, target: _Service) -> Arrow:
    graph, plan = timeline.priced.graph, source.strategy.plan
    per_node = plan.facts.cluster.gpus_per_node
    sent = [crossing(graph, program.stage, per_node) for program in graph.programs[0]]
    what, size, time = crossing_text(timeline)
    label = what, f"over {_links(plan, sent)}", size, time
    return Arrow(
        source.own()[-1].name,
        target.own()[0].name,
        ArrowKind.MESSAGE,
        label=label,
        leaves=source.name,
        enters=target.name,
    )


def _by_link(plan: Plan, sent: Sequence[StageTraffic]) -> dict[str, float]:
    """Bytes over the link that joins the GPUs of a node, and over the network, as far as there are any."""
    inside = "Infinity Fabric" if plan.facts.cluster.device.name.startswith("mi") else "NVLink"
    sizes = {inside: sum(part.inside for part in sent), NETWORK: sum(part.between for part in sent)}
    return {name: size for name, size in sizes.items() if size >= 1}


def _links(plan: Plan, sent: Sequence[StageTraffic]) -> str:
    """Over which links something goes."""
    return " and ".join(_by_link(plan, sent)) or "no link"


def _rate(sent: StageTraffic, timeline: Timeline) -> str:
    rate = sent.total * _micro(timeline) * PICOSECONDS / period(timeline)
    return f"{format_bytes(sent.total)}, {format_bytes(rate)}/s"


def _whose(stage: int, stages: int, replica: int, replicas: int) -> str:
    """Which stage and replica, where a card has several."""
    named = ((replicas, f"replica {replica}"), (stages, f"stage {stage}"))
    return ", ".join(name for count, name in named if count > 1)


def _micro(timeline: Timeline) -> int:
    return len(timeline.priced.graph.micro_batches)


def _place(team: Team, per_node: int, count: int) -> str:
    nodes = np.unique(team.ranks // per_node)
    where = span_text("node", int(nodes[0]), int(nodes[-1]))
    return f"{'the first: ' if count > 1 else ''}{rank_text(team.ranks)} · {where}"


def _layers(served: Served, stage: int, count: int) -> str:
    """`layers 0–15: 3 dense, 13 MoE · embedding`."""
    graph = served.phases[0][1].priced.graph
    kinds: dict[str, int] = {}
    for segment in graph.programs[0][stage].segments:
        if segment.first_layer is not None:
            kind = layer_kind(graph.templates[segment.template])
            kinds[kind] = kinds.get(kind, 0) + segment.count
    total = sum(kinds.values())
    firsts = [s.first_layer for s in graph.programs[0][stage].segments if s.first_layer is not None]
    each = "in each" if count > 1 else "" if not firsts else f"{min(firsts)}–{min(firsts) + total - 1}"
    kinds_text = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"{total} layers {each}: {kinds_text}" if count > 1 else f"layers {each}: {kinds_text}"


def domain_text(service: Service) -> str:
    """How both domains of the stages of a service are cut, pool by pool where there are two."""
    return " · ".join(map(pool_domains, service.pools))


def pool_domains(pool: Pool) -> str:
    """How the domains of a stage of a pool are cut."""
    named = (("attention", pool.attention), ("experts", pool.experts))
    return " · ".join(f"{name} {_layout(layout)}" for name, layout in named if layout is not None)


def _layout(layout: Layout) -> str:
    factors = [f"{factor.axis.value} {factor.degree}" for factor in reversed(layout.factors) if factor.degree > 1]
    return " × ".join(factors) or "on one GPU"


def _work_lines(
    phase: str, timeline: Timeline, stage: int, team: int | None, shares_pool: bool, chunks: int
) -> tuple[Words, ...]:
    """Work of a micro-batch, and how much of the time there is work.

    A pool that serves all stages has the work of all of them.
    """
    stages = range(len(timeline.priced.graph.programs[0])) if shares_pool else (stage,)
    works = [stage_work(timeline, one, team) for one in stages]
    each = sum(work.picoseconds for work in works)
    time_per_micro_batch = period(timeline) / _micro(timeline)
    busy = min(1.0, each / time_per_micro_batch)
    by_bound = {bound: sum(work.by_bound.get(bound, 0) for work in works) for bound in Bound}
    length = max(time_per_micro_batch, each, 1)
    bar = Bar(
        tuple((bound, picoseconds / length) for bound, picoseconds in by_bound.items() if bound is not Bound.NONE)
    )
    pieces = f" in {chunks} chunks" if chunks > 1 else ""
    return f"{phase}: {time_text(each)} per micro-batch{pieces}, busy {format_share(busy)}", bar
