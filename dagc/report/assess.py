"""A priced plan is assessed: memory and timelines become figures, and these judge requirements and claims.

The one verb of the report that the priced rules run after. What was not priced stays None, and the missing shapes and
rates are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagc.plan.plan import Plan
from dagc.report.assessment import Assessment
from dagc.report.claims import judge_claims
from dagc.report.measured import Evidence
from dagc.report.memory import memory_figures
from dagc.report.metrics import measure
from dagc.report.requirements import judge_requirements

if TYPE_CHECKING:
    from dagc.cost.memory import PoolMemory
    from dagc.timeline.timeline import Timeline


def assess(plan: Plan, memory: tuple[PoolMemory, ...] | None, timelines: tuple[Timeline, ...] | None) -> Assessment:
    """Figures and verdicts of one plan; None where the plan could not be priced."""
    figures = memory_figures(memory) if memory else None
    metrics = measure(plan, timelines) if timelines else None
    shapes = tuple(f"model {name}" for name in plan.facts.model.missing())
    evidence = Evidence(plan, figures, metrics, shapes, missing_rates(plan))
    return Assessment(
        figures, metrics, shapes, evidence.missing_rates, judge_requirements(evidence), judge_claims(evidence)
    )


def missing_rates(plan: Plan) -> tuple[str, ...]:
    """Fields, as the language writes them, without which a plan has no times.

    A link is needed where GPUs share a node, a network where they do not fit into one.
    """
    cluster, deployment = plan.facts.cluster, plan.deployment
    devices = [plan.device_of(pool) for service in deployment.services for pool in service.pools]
    activation = plan.facts.model.activation_dtype
    lacking = {
        "device bandwidth": any(not device.bandwidth_bytes_per_second for device in devices),
        "device compute": any(not device.flops.get(activation) for device in devices),
        "cluster link": not cluster.link_bytes_per_second and deployment.gpus > 1 and cluster.gpus_per_node > 1,
        "cluster network": not cluster.network_bytes_per_second and deployment.gpus > cluster.gpus_per_node,
    }
    return tuple(name for name, missing in lacking.items() if missing)
