"""Schedulers of the services of a plan: what its engine does, with the limits that it states, as policies."""

from __future__ import annotations

from collections.abc import Sequence

from dagc.engines.scheduler import AfterEnd, CacheReservation, RequestRouter
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.step_limits import limits_of, scheduler_of, step_limits
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

_UNIT = 1024
"""Parts of a token in which what a step with drafts yields is counted."""


def policies(plan: Plan, blocks: Sequence[int]) -> tuple[Policy, ...]:
    """The policy of each service; `blocks` of cache on each of its attention ranks."""
    return tuple(_policy(plan, *each) for each in zip(plan.deployment.services, blocks, strict=True))


def _policy(plan: Plan, service: Service, blocks: int) -> Policy:
    workload, scheduler = plan.facts.workload, scheduler_of(plan.facts)
    device = plan.device_of(service.attention_pool)
    value, limits = limits_of(plan.facts, device, service.attention_ranks), step_limits(plan, service)
    ranks = service.attention_ranks
    share = scheduler.output_share[ranks > 1]
    unit = _UNIT if workload.drafted else 1
    return Policy(
        replicas=plan.deployment.replicas * service.replicas,
        ranks=ranks,
        router=_ROUTERS[scheduler.router],
        mixes=limits.mixes,
        chunks=limits.chunks,
        budget=limits.budget,
        prompt_budget=limits.prompt_budget,
        threshold=limits.threshold,
        most_running=limits.most_running,
        reserve=_RESERVES[scheduler.reservation],
        block=workload.block or plan.facts.runtime.block_tokens,
        blocks=blocks,
        decodes_beside=workload.drafted > 0,
        late=_LATE[scheduler.after_end] if limits.ahead else Late.NO,
        ahead=limits.ahead,
        poll=value(scheduler.receive_interval, 1),
        balance=limits.balance if ranks > 1 else 0,
        yielded=round(workload.tokens_per_step * unit),
        drafted=workload.drafted,
        unit=unit,
        ratio_first=share,
        ratio_min=share * scheduler.output_floor,
        ratio_steps=scheduler.output_steps,
    )
