"""W202: EP × PP is not the number of GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W202", "ep-sets-gpu-count", Severity.WARNING, is_default=False)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service with experts."""
    for service in plan.deployment.services:
        layout = service.experts_pool.experts
        if layout is None:
            continue
        count = plan.deployment.replicas * service.replicas * service.gpus_per_replica
        if layout.ep * service.stages != count:
            yield CODE.at(
                service.span,
                f"ep {layout.ep} × pp {service.stages} = {layout.ep * service.stages}, and there are {gpus(count)}",
                f"{plan.deployment.replicas * service.replicas} replicas, {service.stages} stages of {layout.size}",
                help=("let each rank of a replica hold its own experts: no `dp` outside, no `tp` inside them",),
            )
