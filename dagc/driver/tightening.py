"""Lower bounds of a service that know its memory: as many sequences run as its caches hold, and steps have prompts.

A bound without these (`LowerBounds.seconds`) takes one sequence to be decoded. Admission needs sizes alone, so that a
bound with it costs a tenth of a price. With E sequences that enter at once and H that run, each step is bounded from
below as before, and TPOT by what serves them (`dagc.results.serving`), which falls with none of its steps. A step of
prompts is bounded where a wave fills it, as a prefill of the whole prompts that it has. Elsewhere it counts as a decode
step, and prompts as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dagc.cost.admission import with_memory
from dagc.cost.memory import rank_memory
from dagc.plan.deployment import Phase
from dagc.plan.interleaving import interleaving
from dagc.plan.plan import Plan
from dagc.results.serving import Steps, serve
from dagc.search.bounds import LowerBounds, ServiceBound
from dagc.search.candidate import ServicePlan


@dataclass(frozen=True, slots=True)
class Running:
    """A service of a plan that has the sequences that run. `prompts` are whole ones in a step with prompts, on each
    rank of attention; 0 where that is not bounded.
    """

    service: ServicePlan
    plan: Plan
    prompts: int


def running(service: ServicePlan, plan: Plan) -> Running | None:
    """A service, for which `plan` has the deployment that it is in; None where it does not fit."""
    own = plan.deployment.services[0 if service.phase is Phase.PREFILL else -1]
    alone = replace(plan, deployment=replace(plan.deployment, services=(own,)))
    alone, memory = (alone, rank_memory(alone)) if service.phase is Phase.PREFILL else with_memory(alone)
    if any(pool.share > 1 for pool in memory):
        return None
    plan = replace(plan, facts=alone.facts)
    found = interleaving(plan)
    return Running(service, plan, found.tokens // found.fresh if found and found.in_waves else 0)


def tightened(bounds: LowerBounds, services: Sequence[Running | None]) -> list[ServiceBound]:
    """The bounds of services; infinite of those that do not fit."""
    fitting = [one for one in services if one is not None]
    asked: list[tuple[ServicePlan, int, int]] = []
    for one in fitting:
        workload, shape = one.plan.facts.workload, one.service.shape
        ranks, entering = (
            shape.replicas * shape.attention.dp,
            bounds.entering(shape, workload.concurrency or workload.batch),
        )
        asked += [(one.service, entering, workload.batch), (one.service, max(1, one.prompts) * ranks, workload.batch)]
    seconds = iter(zip(*(row.tolist() for row in bounds.steps_of(asked)), strict=True)) if asked else iter(())
    found: list[ServiceBound] = []
    for one in services:
        if one is None:
            found.append(ServiceBound(math.inf, math.inf, 0))
            continue
        (first, step), (prompts, _) = next(seconds), next(seconds)
        found.append(_served(one, first, step, prompts))
    return found


def _served(one: Running, first: float, step: float, prompts: float) -> ServiceBound:
    workload = one.plan.facts.workload
    has_prompts = one.prompts and one.service.phase is Phase.BOTH and interleaving(one.plan)
    serving = serve(one.plan, Steps(first, step, prompts if has_prompts else None))
    return ServiceBound(first + serving.host_seconds, serving.tpot_seconds, workload.batch)
