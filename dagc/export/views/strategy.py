"""What all views are made of, and the words that they have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Generic, TypeVar

import numpy as np

from dagc.export.titles import phase_names, time_text
from dagc.export.typesetting import cut, folded_lines, item_lines, safe
from dagc.export.view_model import ServiceView, services
from dagc.export.views.view import Arrow, ArrowKind, Cluster, Distance
from dagc.export.views.work import sent_by
from dagc.graph.graph import Graph
from dagc.metrics import TPOT, times_text
from dagc.ops.message import Send
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import prompt_tokens, sequences_per_rank
from dagc.results.memory import MemoryOfPools
from dagc.results.metrics import Metrics
from dagc.results.serving import is_decode_step_alone, sum_text
from dagc.results.structure import strategy_text
from dagc.schedule.timeline import Timeline
from dagc.units import format_bytes, format_gpus

HANDOVER = "handover"
HANDOVER_HEADING = ("KV-cache transfer", "from prefill to decode")
_CHARACTERS, _LINES = 100, 3


@dataclass(frozen=True, eq=False)
class StrategyView:
    """A compiled strategy: `timelines` are those of `graph.phases`, `drawn` the distances that files are made of.

    `metrics` are what the deployment is judged by: timelines have the GPUs' part of a step alone. `context` has the
    lines that name model, cluster, engine, workload and requirements.
    """

    plan: Plan
    graph: Graph
    timelines: tuple[Timeline, ...]
    metrics: Metrics
    memory: MemoryOfPools | None = None
    context: tuple[str, ...] = ()
    drawn: frozenset[Distance] = frozenset(Distance)

    @cached_property
    def _shown(self) -> tuple[ServiceView, ...]:
        return services(self.graph, self.timelines)

    @property
    def handover_view(self) -> ServiceView | None:
        """What is shown of the KV-cache transfer, where there is one."""
        return next((one for one in self._shown if one.phases == (HANDOVER,)), None)

    @cached_property
    def served(self) -> tuple[Served, ...]:
        """Services in the order of time, without the KV-cache transfer."""
        shown = [one for one in self._shown if one.phases != (HANDOVER,)]
        phases = [(name, line) for name, line in zip(phase_names(self.graph), self.timelines, strict=True)]
        groups = groupby(
            (phase for phase in phases if phase[0] != HANDOVER), key=lambda one: one[1].priced.graph.service
        )
        return tuple(
            Served(view, service, tuple(group))
            for view, service, (_, group) in zip(shown, self.plan.deployment.services, groups, strict=True)
        )

    @property
    def handover(self) -> Timeline | None:
        """The phase in which the cache crosses, where there is one."""
        return self.timelines[1] if self.graph.handover is not None else None

    def link(self, distance: Distance, anchor: str) -> str:
        """Address of a thing in another view; empty where that view is not drawn."""
        return f"{distance.stem}.svg#{anchor}" if distance in self.drawn else ""

    def others(self, distance: Distance) -> frozenset[Distance]:
        """The distances that a view links to."""
        return self.drawn - {distance}

    @property
    def name(self) -> str:
        """Everything that distinguishes a picture from others, in full."""
        plan = self.plan
        return safe(f"{plan.name} = {strategy_text(plan.deployment)}, model {plan.facts.model.name}")

    def title(self) -> tuple[str, ...]:
        """The strategy as written, its size, TTFT and TPOT, and in what context they hold."""
        plan = self.plan
        name = "" if plan.name == "main" else f"{cut(plan.name)} = "
        facts = [format_gpus(plan.deployment.gpus), f"model {cut(plan.facts.model.name)}"]
        facts += times_text(
            plan.facts.workload.ttft_definition, self.metrics.prefill.seconds, self.metrics.decode.seconds
        )
        context = (line for text in self.context for line in item_lines(text, _CHARACTERS, _LINES))
        return (*folded_lines(name + strategy_text(plan.deployment), _CHARACTERS, _LINES), " · ".join(facts), *context)

    def notes(self) -> tuple[str, ...]:
        """How to read the values of the phases."""
        return (*self._step(), *self._chunked())

    def _step(self) -> tuple[str, ...]:
        """What TPOT has beside the decode step that is drawn, where it has anything."""
        serving = self.metrics.serving
        if is_decode_step_alone(serving):
            return ()
        tpot = TPOT.text(self.metrics.decode.seconds)
        return "decode: a single step on the GPUs", f"{TPOT.title} {tpot} = {sum_text(serving)}"

    def _chunked(self) -> tuple[str, ...]:
        """How prompts are computed that are more than a chunk, as memory counts them."""
        tokens = max(self._prompt_tokens(one) for one in self.served)
        chunk = self.plan.facts.workload.chunk
        if tokens <= chunk:
            return ()
        return (
            f"chunked prefill: {tokens:,} tokens per GPU and micro-batch in chunks of {chunk:,}; "
            "memory is that of one chunk, times and shapes are of all",
        )

    def chunks(self, served: Served) -> int:
        """In how many chunks a GPU computes the prompts of a micro-batch."""
        return max(1, -(-self._prompt_tokens(served) // self.plan.facts.workload.chunk))

    def _prompt_tokens(self, served: Served) -> int:
        """Most prompt tokens of a micro-batch on one GPU; 0 where prefill is another service's."""
        phase, timeline = served.phases[0]
        layout, graph = served.service.attention_pool.attention, timeline.priced.graph
        if phase != "prefill" or layout is None:
            return 0
        sequences = sequences_per_rank(layout, graph.sequences[0]).astype(np.float64)
        return int(prompt_tokens(layout, sequences, self.plan.facts.workload.fresh).max())


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One service: what is shown of it, its meaning, and its phases by name."""

    view: ServiceView
    service: Service
    phases: tuple[tuple[str, Timeline], ...]

    @property
    def name(self) -> str:
        """The name that pools and messages use."""
        return self.view.name

    @property
    def heading(self) -> str:
        """`main: prefill and decode`; the name alone where it is that of its phase."""
        phases = " and ".join(name for name, _ in self.phases)
        return self.name if phases == self.name else f"{self.name}: {phases}"

    def stage_anchor(self, stage: int) -> str:
        """Name of a stage in every view."""
        return f"{slug(self.name)}.stage.{stage}"

    def layer_anchor(self, kind: str) -> str:
        """Name of a kind of layer, or of another segment, in the layer view."""
        return f"{slug(self.name)}.layer.{slug(kind)}"


def experts_anchor(stage: str) -> str:
    """Name of the experts of a stage where they have their own pool."""
    return f"{stage}.experts"


def slug(text: str) -> str:
    """Text as a part of a name: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"


def crossing_text(timeline: Timeline) -> tuple[str, str, str]:
    """The cache that crosses; its bytes are those of the replicas that take part together."""
    graph = timeline.priced.graph
    moved = sum(sent_by(timeline, program.stage, (Send,)) for program in graph.programs[0])
    return "KV cache", f"{format_bytes(moved)} for {graph.sequences[0]} sequences", f"in {time_text(timeline.makespan)}"


def crossing(before: Cluster, after: Cluster) -> Arrow:
    """From the frame of a service, or of what is between two, to the next, at the height of boxes in them."""
    ends = before.beside[-1], after.beside[0]
    return Arrow(*ends, ArrowKind.MESSAGE, orders=False, leaves=before.name, enters=after.name)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Thinned(Generic[T]):
    """What is shown at either end, and what is not; `last` and `between` are empty where all is shown."""

    first: tuple[T, ...]
    between: tuple[T, ...]
    last: tuple[T, ...]

    @property
    def hidden(self) -> int:
        """How many are folded."""
        return len(self.between)


def thinned(things: Sequence[T], most: int) -> Thinned[T]:
    """At most so many of the things."""
    if len(things) <= most:
        return Thinned(tuple(things), (), ())
    tail = most // 2
    return Thinned(tuple(things[: most - tail]), tuple(things[most - tail : -tail]), tuple(things[-tail:]))
