"""W143: an engine puts an instance on nodes in another way than it is priced."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import pipeline
from dagc.check.helpers.engines import services_under
from dagc.check.helpers.labels import states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.engines.instance import Host
from dagc.plan.instances import instance_of
from dagc.plan.plan import Plan

CODE = Code("W143", "engine-leaves-gpus-idle", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service over several nodes; only where the plan states its cluster."""
    cluster = plan.facts.cluster
    per_node = cluster.machine
    node = "machine" if per_node < cluster.gpus_per_node else "node"
    for engine, service in services_under(plan) if states(plan, "cluster") else ():
        instance = instance_of(plan.deployment, service, plan.facts.model)
        if instance is None:
            continue
        gpus, block = instance.sizes.gpus_per_replica, engine.whole_ranks(instance)
        nodes = Host("", per_node, cluster.gpus_per_node).nodes(instance, block)
        if gpus > per_node and gpus // nodes < per_node:
            axis = pipeline(plan, service)
            whole = f"as many on each, {block} consecutive ranks not split unevenly" if block > 1 else "as many on each"
            yield CODE.at(
                axis.span if axis else service.span,
                f"{engine.title} starts {gpus} ranks on {nodes} {node}s with {gpus // nodes} GPUs each; they are "
                f"priced on {node}s of {per_node}",
                f"{engine.title} needs {whole}",
                help=(f"use degrees that fill {node}s of {per_node}, or state nodes of {gpus // nodes} GPUs",),
            )
