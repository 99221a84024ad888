"""Continuous batching: requests come and go, `concurrency` of them in flight, and a step has some of them."""

from __future__ import annotations

from dataclasses import replace

from dagc.plan.plan import Plan


def requests_at_once(plan: Plan) -> int | None:
    """Requests that run at once in an admitted plan whose caches hold fewer than are in flight; else None."""
    asked, running = plan.facts.workload.concurrency, plan.facts.workload.batch
    is_limited = asked is not None and running < asked and not plan.facts.workload.is_open
    return running if is_limited else None


def entering(plan: Plan) -> Plan:
    """The plan whose batch is what is prefilled at once: all of a static batch, else one prompt on each rank."""
    return _with_prompts(plan, 1)


def prefilling(plan: Plan) -> Plan:
    """The plan whose batch is what GPUs that prefill alone hold at once: all of a static batch, else on each rank as
    many prompts as a chunk has room for, one at least.
    """
    return _with_prompts(plan, max(1, plan.facts.workload.chunk // plan.facts.workload.fresh))


def _with_prompts(plan: Plan, each: int) -> Plan:
    workload = plan.facts.workload
    if workload.concurrency is None:
        return plan
    caches = plan.deployment.cache_count(plan.deployment.services[0])
    held = replace(workload, batch=min(each * caches, workload.concurrency))
    return replace(plan, facts=replace(plan.facts, workload=held))
