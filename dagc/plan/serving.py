"""Continuous batching: requests come and go, `concurrency` of them in flight, and the steps have what is there.

In the steady state every request that leaves is followed by the next one, so that over the steps in which a request
is decoded, each of the others on its ranks has its prompt computed once. What that does to the steps is the engine's
way:

- mixed steps: prompt tokens ride along with decoded ones, up to the budget of tokens a rank computes at once (`chunk`);
- steps apart: a prompt is computed by itself, and all that decode wait for it.

With phases on their own GPUs decode is never held up. Requests on the ranks of an attention-dp group meet in every
step, so the ranks are taken to have a prompt at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dagc.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Interleaving:
    """How prefill is interleaved with decode of a request.

    `others` is the number of further requests on its ranks. `riding` prompt tokens a rank are in a step that has any,
    0 where steps are apart; `prompts` is how many prompts a step can have.
    """

    others: float
    riding: float
    prompts: float

    @property
    def mixes(self) -> bool:
        """Whether prompt tokens ride along in decode steps."""
        return self.riding > 0


def requests_a_rank(plan: Plan) -> float:
    """Requests in flight on each attention rank, a mean."""
    return max(1.0, plan.facts.workload.batch / plan.deployment.cache_count(plan.deployment.services[-1]))


def interleaving(plan: Plan) -> Interleaving | None:
    """How prefill is interleaved with decode; None for a static batch and where decode has its own GPUs."""
    workload = plan.facts.workload
    if workload.concurrency is None or len(plan.deployment.services) > 1:
        return None
    held = requests_a_rank(plan)
    if not plan.facts.runtime.mixes:
        return Interleaving(held - 1, 0.0, max(1.0, workload.chunk / workload.fresh))
    arriving = max(1.0, held * workload.tokens_per_step / workload.output)
    riding = min(float(workload.chunk), workload.fresh * arriving)
    return Interleaving(held - 1, riding if held > 1 else 0.0, riding / workload.fresh)


def riding_tokens(plan: Plan) -> float:
    """Prompt tokens on each rank in a mixed step; 0 where there is none."""
    found = interleaving(plan)
    return found.riding if found else 0.0


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
