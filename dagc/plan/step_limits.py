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
from typing import NamedTuple

from dagc.catalog.calibration import Work
from dagc.catalog.device import DeviceSpec
from dagc.catalog.serving_overhead import FITTED_LAYERS, ServingOverhead, plan_overhead
from dagc.engines.scheduler import NO_ENGINE_SCHEDULER, CacheReservation, Scheduler, SchedulerLimit
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Facts, Plan, fills_pipeline, with_prompts

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


def scheduler_of(facts: Facts) -> Scheduler:
    """The scheduler of the engine of a plan."""
    return facts.engine.scheduler if facts.engine else NO_ENGINE_SCHEDULER


def limits_of(facts: Facts, device: DeviceSpec, ranks: int) -> Callable[[SchedulerLimit | None, int], int]:
    """Takes a limit of a rank to its value, or to another number where the engine has no such limit or it is 0.

    `ranks` of attention have prompts of their own, on GPUs of such a device.
    What a plan says of prompts (`chunk`) is more than a default of its engine.
    """
    scheduler, workload = scheduler_of(facts), facts.workload
    # GPUs that are sold with so many GB have about so many GiB.
    gibibytes = device.memory_bytes / 1e9

    def value(limit: SchedulerLimit | None, otherwise: int) -> int:
        is_chunk = limit in (scheduler.token_budget, scheduler.prefill_chunk) and "chunk" in workload.spans
        if limit is None or (is_chunk and limit.option not in dict(scheduler.given)):
            return otherwise
        return scheduler.value(limit, gibibytes, 1 if limit.is_switch else ranks) or otherwise

    return value


class _Tokens(NamedTuple):
    """Limits of a step in tokens, as `StepLimits` has them."""

    budget: int
    prompt_budget: int
    threshold: int


def _tokens(scheduler: Scheduler, chunk: int, value: Callable[[SchedulerLimit | None, int], int]) -> _Tokens:
    threshold = value(scheduler.prefill_chunk, _UNLIMITED if scheduler.token_budget else chunk)
    budget = value(scheduler.token_budget, chunk if scheduler.token_budget else threshold)
    return _Tokens(budget, value(scheduler.prefill_budget, chunk), threshold)


def prompt_tokens(facts: Facts, device: DeviceSpec, ranks: int) -> int:
    """Prompt tokens of one attention rank of so many in a step of GPUs that prefill alone, where more wait than have
    room: those of whole prompts where the engine splits none.
    """
    scheduler, value, fresh = scheduler_of(facts), limits_of(facts, device, ranks), facts.workload.fresh
    tokens = _tokens(scheduler, facts.workload.chunk, value)
    most = tokens.budget if value(scheduler.mixes, 0) else min(tokens.prompt_budget, tokens.threshold)
    return most if value(scheduler.chunks, 0) or most < fresh else most // fresh * fresh


def full_step_tokens(plan: Plan) -> int:
    """The same of the service that prefills, with no more prompts than are in flight, and one at least where one has
    room.
    """
    service, workload = plan.deployment.services[0], plan.facts.workload
    most = prompt_tokens(plan.facts, plan.device_of(service.attention_pool), service.attention_ranks)
    stages = service.stages if fills_pipeline(plan, service) else 1
    each = (workload.concurrency or workload.batch) / (plan.deployment.cache_count(service) * stages)
    return min(most, max(workload.fresh, int(each * workload.fresh)))


def prefilling(plan: Plan) -> Plan:
    """The plan whose batch is what GPUs that prefill alone hold at once: all of a static batch, else on each rank the
    prompts of a full step, one at least, for each step that its pipeline has under way.
    """
    service = plan.deployment.services[0]
    each = max(1, full_step_tokens(plan) // plan.facts.workload.fresh)
    return with_prompts(plan, each * (service.stages if fills_pipeline(plan, service) else 1))


def step_limits(plan: Plan, service: Service, sequences: int = 0) -> StepLimits:
    """The limits of a service, as the command that starts it for the plan's workload sets them.

    `sequences`: what that command limits those of a rank to; 0: nothing but the engine does.
    """
    device, workload = plan.device_of(service.attention_pool), plan.facts.workload
    scheduler, value = scheduler_of(plan.facts), limits_of(plan.facts, device, service.attention_ranks)
    mixes, chunks, ahead = (bool(value(one, 0)) for one in (scheduler.mixes, scheduler.chunks, scheduler.ahead))
    tokens = _tokens(scheduler, workload.chunk, value)
    budget = tokens.budget
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
        prompt_budget=tokens.prompt_budget,
        threshold=tokens.threshold,
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
    services = plan.deployment.services
    pool, experts = services[0].attention_pool, services[0].experts_pool.experts
    exchanges = pool.attention is not None and pool.attention.dp > 1 and experts is not None and experts.ep > 1
    return overhead_on(plan.facts, plan.device_of(pool), has_pools=len(services) > 1, exchanges=exchanges)


def overhead_on(facts: Facts, device: DeviceSpec, *, has_pools: bool, exchanges: bool) -> ServingOverhead:
    """The same of services on GPUs of a device; `exchanges` as `plan_overhead` has it."""
    engine, layers = facts.engine.name if facts.engine else "", facts.model.layers or FITTED_LAYERS
    found = plan_overhead(engine, device.name, layers, has_pools=has_pools, exchanges=exchanges)
    factor = device.factor(Work.HOST)
    return found if factor == 1 else replace(found, prefill_launch_seconds=found.prefill_launch_seconds * factor)
