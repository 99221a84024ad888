"""How many tokens a step of a service computes at most: limits of its engine's scheduler, and the plan's `chunk`.

An engine that mixes prompts with decoded tokens and does not split prompts computes one only in a step that has room
for all of it after the decoded tokens. At a budget hardly above the prompts it runs one request after the other. Unless
the plan states a limit, the command that starts it splits prompts above the budget, or has a budget for the longest
prompt beside all that decode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from dagc.catalog.calibration import Work
from dagc.catalog.serving_overhead import FITTED_LAYERS, ServingOverhead, plan_overhead
from dagc.engines.scheduler import NO_ENGINE_SCHEDULER, CacheReservation, Scheduler, SchedulerLimit
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Plan

_UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class StepLimits:
    """What one attention rank computes in a step.

    `mixes`: prompt tokens and decoded ones share a step of up to `budget` tokens; else prompts have steps of their own,
    of up to `prompt_budget` tokens. `threshold` tokens at most are of one prompt. `chunks` splits a prompt that has no
    room. `most_running` sequences have a place. `ahead`: a step is composed while the one before it runs. `balance`:
    steps for which prompts of some attention ranks wait at most until all ranks have one.
    """

    mixes: bool
    chunks: bool
    ahead: bool
    budget: int
    prompt_budget: int
    threshold: int
    most_running: int
    balance: int = 0


def scheduler_of(plan: Plan) -> Scheduler:
    """The scheduler of the plan's engine."""
    return plan.facts.engine.scheduler if plan.facts.engine else NO_ENGINE_SCHEDULER


def limits_of(plan: Plan, service: Service) -> Callable[[SchedulerLimit | None, int], int]:
    """Takes a limit of a rank to its value, or to another number where the engine has no such limit or it is 0.

    What a plan says of prompts (`chunk`) is more than a default of its engine.
    """
    scheduler, ranks, workload = scheduler_of(plan), service.attention_ranks, plan.facts.workload
    # GPUs that are sold with so many GB have about so many GiB.
    gibibytes = plan.device_of(service.attention_pool).memory_bytes / 1e9

    def value(limit: SchedulerLimit | None, otherwise: int) -> int:
        is_chunk = limit in (scheduler.token_budget, scheduler.prefill_chunk) and "chunk" in workload.spans
        if limit is None or (is_chunk and limit.option not in dict(scheduler.given)):
            return otherwise
        return scheduler.value(limit, gibibytes, 1 if limit.is_switch else ranks) or otherwise

    return value


def step_limits(plan: Plan, service: Service, sequences: int = 0) -> StepLimits:
    """The limits of a service, as the command that starts it for the plan's workload sets them.

    `sequences`: what that command limits those of a rank to; 0: nothing but the engine does.
    """
    scheduler, value, workload = scheduler_of(plan), limits_of(plan, service), plan.facts.workload
    mixes, chunks, ahead = (bool(value(one, 0)) for one in (scheduler.mixes, scheduler.chunks, scheduler.ahead))
    threshold = value(scheduler.prefill_chunk, _UNLIMITED if scheduler.token_budget else workload.chunk)
    budget = value(scheduler.token_budget, workload.chunk if scheduler.token_budget else threshold)
    most_running = sequences or value(scheduler.most_running, 1)
    if mixes and not chunks and scheduler.token_budget:
        given, longest = dict(scheduler.given), workload.fresh_of(workload.prompt_bounds[1])
        if scheduler.reservation is not CacheReservation.WHOLE:
            longest += workload.output_bounds[1]  # A request that lost its cache computes what it has generated too.
        if longest > budget and scheduler.chunks.option not in given:
            chunks = True
        elif service.phase is Phase.BOTH and not {"chunk", scheduler.token_budget.option} & {*workload.spans, *given}:
            running = min(most_running, ceil(workload.batch / plan.deployment.cache_count(service)))
            if longest + running * (1 + workload.drafted) > budget:
                budget = longest + most_running * (1 + workload.drafted)
    return StepLimits(
        mixes=mixes,
        chunks=chunks,
        ahead=ahead is not scheduler.is_ahead_off,
        budget=budget,
        prompt_budget=value(scheduler.prefill_budget, workload.chunk),
        threshold=threshold,
        most_running=most_running,
        balance=scheduler.balance_steps if value(scheduler.balances, 0) else 0,
    )


def running_limit(plan: Plan) -> int | None:
    """Requests that run at once at most, so that the mean prompt has room beside the others; None: no limit."""
    service, workload = plan.deployment.services[-1], plan.facts.workload
    limits = step_limits(plan, service)
    if service.phase is not Phase.BOTH or not limits.mixes or limits.chunks:
        return None
    beside = max(0, limits.budget - workload.fresh) // (1 + workload.drafted)
    return (beside + 1) * plan.deployment.cache_count(service)


def server_overhead(plan: Plan) -> ServingOverhead:
    """What a request waits for outside of the steps of the model."""
    facts, services = plan.facts, plan.deployment.services
    pool, experts = services[0].attention_pool, services[0].experts_pool.experts
    device, layers = plan.device_of(pool), facts.model.layers or FITTED_LAYERS
    found = plan_overhead(
        facts.engine.name if facts.engine else "",
        device.name,
        layers,
        has_pools=len(services) > 1,
        exchanges=pool.attention is not None and pool.attention.dp > 1 and experts is not None and experts.ep > 1,
    )
    factor = device.factor(Work.HOST)
    return found if factor == 1 else replace(found, prefill_launch_seconds=found.prefill_launch_seconds * factor)
