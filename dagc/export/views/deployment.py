"""The deployment view: pools, replicas and stages with their GPUs, what they hold, and what goes between them.

One replica of each service is drawn, and one of several stages that are alike; both say how many they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dagc.export.opened import StageView
from dagc.export.titles import layer_kind, rank_text, span_text, time_text
from dagc.export.views.handover import crossing_text
from dagc.export.views.rank_rows import pool_figures
from dagc.export.views.scene import Scene, Served, side_by_side
from dagc.export.views.thin import Thinned, thinned
from dagc.export.views.view import Arrow, Bar, Box, Cluster, Distance, Line, Shape, View, Words
from dagc.export.views.work import period, sent_by, stage_work
from dagc.graph.graph import Pairing, Team
from dagc.graph.ops import COMBINE, DISPATCH, SEND, Op
from dagc.graph.priced import PICOSECONDS, Bound
from dagc.plan.deployment import Pool, Role, Service
from dagc.plan.layout import Layout
from dagc.timeline.timeline import Timeline
from dagc.units import format_bytes, format_gpus, format_share

MOST_STAGES = 40
"""Different stages of a service that are drawn; of more, those in the middle are folded."""


def deployment_view(scene: Scene) -> View:
    """Pools, replicas and stages."""
    parts = [_Service(scene, served) for served in scene.served]
    arrows = [arrow for part in parts for arrow in part.arrows()]
    if scene.handover is not None:
        arrows.append(_handover(scene.handover, parts[0], parts[-1]))
    notes = (*scene.notes(halves=False), *(note for part in parts for note in part.notes()))
    others = scene.others(Distance.DEPLOYMENT)
    members = tuple(part.cluster() for part in parts)
    return View(
        Distance.DEPLOYMENT, scene.name, scene.title(), notes, members, tuple(arrows), across=True, others=others
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Service:
    """One service on its way into the view."""

    scene: Scene
    served: Served

    @property
    def stages(self) -> Thinned[StageView]:
        return thinned(self.served.view.stages, MOST_STAGES)

    @property
    def name(self) -> str:
        return f"{self.served.stage_anchor(0)}.service"

    @property
    def replicas(self) -> int:
        return self.scene.plan.deployment.replicas * self.served.service.replicas

    def cluster(self) -> Cluster:
        each = self.served.service.gpus_per_replica
        size = (
            f"{format_gpus(each)}"
            if self.replicas == 1
            else f"×{self.replicas} replicas of {format_gpus(each)}, one drawn"
        )
        pools = tuple(self._pool(pool) for pool in self.served.service.pools)
        members = pools if len(pools) > 1 else self.own()
        return Cluster(self.name, (self.served.heading, size), members, folded=self.replicas > 1)

    def notes(self) -> tuple[str, ...]:
        told: list[str] = []
        if self.replicas > 1:
            kinds = 1 + sum(phase.service == self.served.name for phase in self.scene.graph.others)
            alike = "identical" if kinds == 1 else "the slowest is drawn"
            told.append(f"folded: {self.served.name} ×{self.replicas} replicas, {alike}")
        told += [f"folded: {s.title}" for s in self.stages.first + self.stages.last if s.count > 1]
        if self.stages.between:
            told.append(f"folded: {self.stages.hidden} stages in the middle, because the picture would be too large")
        return tuple(told)

    def _pool(self, pool: Pool) -> Cluster:
        boxes = self._experts(pool) if pool.role is Role.EXPERTS else self.own()
        named = f"pool {pool.name}: {format_gpus(pool.gpus_per_replica)}"
        chain = tuple(box.name for box in boxes)
        return Cluster(f"{self.name}.{pool.role.value}", (named,), boxes, role=pool.role, chains=(chain,))

    def own(self) -> tuple[Box, ...]:
        """Stages of the pool that computes attention, or everything."""
        pool = self.served.service.attention_pool
        boxes = [self._stage(pool, view) for view in self.stages.first]
        if self.stages.between:
            lines = (f"{self.stages.hidden} more stages", "folded: the picture would be too large")
            boxes.append(Box(f"{self.name}.more", Shape.CARD, lines, folded=True))
        return tuple(boxes + [self._stage(pool, view) for view in self.stages.last])

    def _experts(self, pool: Pool) -> tuple[Box, ...]:
        """The experts' pool: one card for all stages, or one beside each."""
        shown = (*self.stages.first, *self.stages.last)
        return tuple(
            self._card(pool, view, view.teams[-1], 1, f"{self._anchor(view)}.experts")
            for view in (shown[:1] if pool.stages == 1 else shown)
        )

    def _stage(self, pool: Pool, view: StageView) -> Box:
        return self._card(pool, view, view.teams[0], 0 if len(view.teams) > 1 else None, self._anchor(view))

    def _anchor(self, view: StageView) -> str:
        return self.served.stage_anchor(view.teams[0].stage)

    def _card(self, pool: Pool, view: StageView, team: Team, which: int | None, name: str) -> Box:
        stage, shares_pool = view.teams[0].stage, pool.role is Role.EXPERTS and pool.stages == 1
        title = "experts of all stages" if shares_pool else view.title
        lines: list[Words] = [title, _place(team, self.scene.plan.facts.cluster.gpus_per_node, view.count)]
        if pool.role is not Role.EXPERTS:
            lines.append(_layers(self.served, stage, view.count))
        lines.append(pool_domains(pool))
        if pool.role is not Role.EXPERTS:
            lines += self._crossing(stage)
        lines += self._memory(pool, team.stage)
        for phase, timeline in self.served.phases:
            lines += _pace(phase, timeline, stage, which, shares_pool)
        link = self.scene.link(Distance.STAGE, self._anchor(view))
        critical = any(segment.critical for segment in view.segments)
        return Box(
            name,
            Shape.CARD,
            tuple(lines),
            hover=(f"{title}: open the stage view",),
            link=link,
            critical=critical,
            folded=view.count > 1 and not shares_pool,
        )

    def _memory(self, pool: Pool, stage: int) -> tuple[Words, ...]:
        figures = pool_figures(self.scene, pool)
        if figures is None:
            return ()
        held = float(figures.by_rank.total[min(stage, pool.stages - 1)].max())
        share = held / figures.capacity_bytes
        text = f"memory {format_bytes(held)} of {format_bytes(figures.capacity_bytes)}, {format_share(share)}"
        return text, Bar(((Bound.NONE, min(1.0, share)),))

    def arrows(self) -> list[Arrow]:
        shown = (*self.stages.first, *self.stages.last)
        names = [box.name for box in self.own()]
        senders = {self._anchor(view): view for view in shown}
        found = [self._message(senders.get(a), a, b) for a, b in pairwise(names)]
        if len(names) > 1 and self._returns():
            label = ("sampled tokens", "for the next step")
            found.append(Arrow(names[-1], names[0], Line.ORDER, label=label, orders=False))
        if len(self.served.service.pools) > 1:
            pooled = [box.name for box in self._experts(self.served.service.experts_pool)]
            ends = ((self._anchor(view), pooled[min(i, len(pooled) - 1)]) for i, view in enumerate(shown))
            found += [Arrow(tail, head, Line.MESSAGE, orders=False, returns=True) for tail, head in ends]
        return found

    def _returns(self) -> bool:
        last = self.served.phases[-1][1].priced.graph
        return any(
            node.communication is not None and node.communication.pairing is Pairing.STEP
            for template in last.templates
            for node in template.nodes
        )

    def _message(self, view: StageView | None, tail: str, head: str) -> Arrow:
        label = () if view is None else self._traffic(view.teams[0].stage, "hidden states", (SEND,))
        return Arrow(tail, head, Line.MESSAGE, label=label)

    def _crossing(self, stage: int) -> tuple[str, ...]:
        """What goes to the experts' pool and comes back, where there is one."""
        if len(self.served.service.pools) == 1:
            return ()
        what, size, rate = self._traffic(stage, "dispatch and combine", (DISPATCH, COMBINE))
        return f"{what}: {size}", rate

    def _traffic(self, stage: int, what: str, ops: tuple[Op, ...]) -> tuple[str, str, str]:
        """Bytes of a micro-batch and their mean rate, by phase."""
        each = [(sent_by(line, stage, ops), line) for _, line in self.served.phases]
        sizes = tuple(format_bytes(size) for size, _ in each)
        rates = tuple(f"{format_bytes(size * _micro(line) * PICOSECONDS / period(line))}/s" for size, line in each)
        return what, f"{side_by_side(sizes)} per micro-batch", f"{side_by_side(rates)} average"


def _handover(timeline: Timeline, source: _Service, target: _Service) -> Arrow:
    label = crossing_text(timeline)
    return Arrow(
        source.own()[-1].name, target.own()[0].name, Line.MESSAGE, label=label, leaves=source.name, enters=target.name
    )


def _micro(timeline: Timeline) -> int:
    return len(timeline.priced.graph.micro_batches)


def _place(team: Team, per_node: int, count: int) -> str:
    nodes = np.unique(team.ranks // per_node)
    where = span_text("node", int(nodes[0]), int(nodes[-1]))
    each = " each, the first:" if count > 1 else " ·"
    return f"{team.width} GPU{'s' if team.width > 1 else ''}{each} {rank_text(team.ranks)} · {where}"


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
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"{total} layers {each}: {told}" if count > 1 else f"layers {each}: {told}"


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


def _pace(phase: str, timeline: Timeline, stage: int, team: int | None, shares_pool: bool) -> tuple[Words, ...]:
    """Work of a micro-batch, and how much of the time there is work.

    A pool that serves all stages has the work of all of them.
    """
    stages = range(len(timeline.priced.graph.programs[0])) if shares_pool else (stage,)
    works = [stage_work(timeline, one, team) for one in stages]
    each = sum(work.picoseconds for work in works)
    turn = period(timeline) / _micro(timeline)
    busy = min(1.0, each / turn)
    by_bound = {bound: sum(work.by_bound.get(bound, 0) for work in works) for bound in Bound}
    length = max(turn, each, 1)
    bar = Bar(tuple((bound, spent / length) for bound, spent in by_bound.items() if bound is not Bound.NONE))
    return f"{phase}: {time_text(each)} per micro-batch, busy {format_share(busy)}", bar
