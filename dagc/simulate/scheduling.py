"""Schedulers of the services of a plan: what its engine does, with the limits that it states, as policies."""

from __future__ import annotations

from collections.abc import Sequence

from dagc.engines.scheduler import NO_ENGINE_SCHEDULER, AfterEnd, CacheReservation, RequestRouter, SchedulerLimit
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.simulate.policy import Late, LoadBalancer, Policy, Reserve

_RESERVES = {
    CacheReservation.GROW: Reserve.GROW,
    CacheReservation.WHOLE: Reserve.WHOLE,
    CacheReservation.ESTIMATE: Reserve.ESTIMATE,
}
_ROUTERS = {
    RequestRouter.ROUND_ROBIN: LoadBalancer.ROUND_ROBIN,
    RequestRouter.SHORTEST_QUEUE: LoadBalancer.SHORTEST_QUEUE,
    RequestRouter.SHARED_QUEUE: LoadBalancer.SHARED_QUEUE,
}

_LATE = {AfterEnd.LEAVES: Late.NO, AfterEnd.ROW: Late.ROW, AfterEnd.SLOT: Late.SLOT}

_UNLIMITED = 1 << 30
_UNIT = 1024
"""Parts of a token in which what a step with drafts yields is counted."""


def policies(plan: Plan, blocks: Sequence[int]) -> tuple[Policy, ...]:
    """The policy of each service; `blocks` of cache on each of its attention ranks."""
    return tuple(_policy(plan, *each) for each in zip(plan.deployment.services, blocks, strict=True))


def _policy(plan: Plan, service: Service, blocks: int) -> Policy:
    workload, engine = plan.facts.workload, plan.facts.engine
    scheduler = engine.scheduler if engine else NO_ENGINE_SCHEDULER
    layout = service.attention_pool.attention
    ranks = layout.dp if layout else 1
    # GPUs that are sold with so many GB have about so many GiB.
    gibibytes = plan.device_of(service.attention_pool).memory_bytes / 1e9

    def value(limit: SchedulerLimit | None, otherwise: int) -> int:
        """A limit of a rank; what a plan says of prompts is more than a default of its engine."""
        is_chunk = limit in (scheduler.token_budget, scheduler.prefill_chunk) and "chunk" in workload.spans
        if limit is None or (is_chunk and limit.option not in dict(scheduler.given)):
            return otherwise
        return scheduler.value(limit, gibibytes, ranks) or otherwise

    mixes, chunks, ahead = (
        bool(scheduler.value(limit, gibibytes)) for limit in (scheduler.mixes, scheduler.chunks, scheduler.ahead)
    )
    ahead = ahead is not scheduler.is_ahead_off
    threshold = value(scheduler.prefill_chunk, _UNLIMITED if scheduler.token_budget else workload.chunk)
    share = scheduler.output_share[ranks > 1]
    unit = _UNIT if workload.drafted else 1
    return Policy(
        replicas=plan.deployment.replicas * service.replicas,
        ranks=ranks,
        router=_ROUTERS[scheduler.router],
        mixes=mixes,
        chunks=chunks,
        budget=value(scheduler.token_budget, workload.chunk if scheduler.token_budget else threshold),
        prompt_budget=value(scheduler.prefill_budget, workload.chunk),
        threshold=threshold,
        most_running=value(scheduler.most_running, 1),
        reserve=_RESERVES[scheduler.reservation],
        block=workload.block or plan.facts.runtime.block_tokens,
        blocks=blocks,
        decodes_beside=workload.drafted > 0,
        late=_LATE[scheduler.after_end] if ahead else Late.NO,
        ahead=ahead,
        poll=value(scheduler.receive_interval, 1),
        yielded=round(workload.tokens_per_step * unit),
        drafted=workload.drafted,
        unit=unit,
        ratio_first=share,
        ratio_min=share * scheduler.output_floor,
        ratio_steps=scheduler.output_steps,
    )
