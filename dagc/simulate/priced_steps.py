"""Single steps of a service: lowered, priced and scheduled as `compile` does it, each once.

The engine's time of a step outside of its kernels, and drafts, are in every step as `dagc.results.serving` has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from dagc.cost.price import CostCache, price
from dagc.graph.priced import PICOSECONDS, PricedPhase
from dagc.lower.batch import StepLoad
from dagc.lower.lower import lower_step
from dagc.lower.templates import LoweringCache
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.schedule.schedule import schedule_times
from dagc.schedule.template import TemplateCache
from dagc.schedule.timeline import pipeline_interval


class StepTime(NamedTuple):
    """Picoseconds of a step.

    `latency` is from its begin to its tokens. `interval` is from its begin to that of the next one, where steps of the
    same load follow one another: less than the latency where stages of a pipeline have steps of their own under way.
    """

    latency: int
    interval: int


@dataclass(slots=True)
class PricedSteps:
    """The steps of one service of a plan that were asked for so far; `priced` is how many were priced."""

    plan: Plan
    service: Service
    priced: int = 0
    _templates: LoweringCache = field(default_factory=LoweringCache)
    _costs: CostCache = field(default_factory=CostCache)
    _cache: TemplateCache = field(default_factory=TemplateCache)
    _held: list[PricedPhase] = field(default_factory=list[PricedPhase])
    _found: dict[tuple[int, StepLoad], StepTime] = field(default_factory=dict[tuple[int, StepLoad], StepTime])

    def step(self, sequences: int, load: StepLoad) -> StepTime:
        """The time of a step with so many decode sequences on the fullest rank, and prompts."""
        key = sequences, load
        if key not in self._found:
            self._found[key] = self._decode(sequences, load) if sequences else self._prefill(load)
        return self._found[key]

    def _decode(self, sequences: int, load: StepLoad) -> StepTime:
        """Each sequence has a token from each step: stages have micro-batches of one and the same step."""
        facts = self.plan.facts
        makespan, interval = self._schedule(sequences, load)
        drafts = facts.workload.drafted * interval // (facts.model.layers or 1)
        return StepTime(makespan + drafts + self._host, interval + drafts + self._host)

    def _prefill(self, load: StepLoad) -> StepTime:
        stages = self.service.stages
        makespan, interval = self._schedule(0, load)
        if stages > 1:
            filled, _ = self._schedule(0, load, stages)
            interval = int(pipeline_interval(makespan, filled, stages))
        return StepTime(makespan + self._host, interval + self._host)

    def _schedule(self, sequences: int, load: StepLoad, prefills: int = 1) -> tuple[int, int]:
        graph = lower_step(self.plan, self.service, sequences, load, self._templates, prefills)
        priced = price(graph, self.plan, self._costs)
        # The cache knows costs by who they are, so they must stay.
        self._held.append(priced)
        timeline = schedule_times(priced, self._cache)
        self.priced += 1
        return timeline.makespan, timeline.interval

    @property
    def _host(self) -> int:
        return round(self.plan.facts.runtime.host_seconds * PICOSECONDS)
