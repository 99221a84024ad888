"""How tokens come to the experts of a service: sent, gathered, or not at all where all ranks hold the same ones."""

from __future__ import annotations

from dagc.engines.engine import ExpertExchange
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan


def gathers_tokens(plan: Plan, service: Service) -> bool:
    """Whether tokens are gathered rather than dispatched; two halves that hide each other's need a dispatch."""
    experts, layout, options = plan.facts.model.experts, service.experts_pool.experts, service.options
    if experts is None or layout is None or options.overlap > 1 or len(service.pools) > 1:
        return False
    ranks, domain = layout.ep * layout.tp, plan.facts.cluster.gpus_per_node
    return plan.facts.runtime.exchange(ranks, experts.top, domain, options.exchange) is ExpertExchange.GATHER


def sums_results(plan: Plan, service: Service) -> bool:
    """Whether the engine sends no tokens: all ranks of an expert group hold the same ones, and sum what each adds."""
    attention, experts = service.attention_pool.attention, service.experts_pool.experts
    if attention is None or experts is None or len(service.pools) > 1 or service.options.overlap > 1:
        return False
    return plan.facts.runtime.sums_experts and attention.tp * attention.cp == experts.ep * experts.tp
