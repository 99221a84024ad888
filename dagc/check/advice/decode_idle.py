"""W135: a pool for decoding, where one output token is all that is asked and the prefill makes it."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.labels import label, states
from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan

CODE = Code("W135", "decode-idle", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one; only where the workload is stated."""
    if not states(plan, "workload") or plan.facts.workload.output > 1:
        return
    for service in plan.deployment.services:
        if service.phase is Phase.DECODE:
            count = plan.deployment.replicas * service.replicas * service.gpus_per_replica
            yield CODE.at(
                service.span,
                f"the decode pool of {gpus(count)} is idle",
                "prefill yields the first token, and no further one is requested",
                labels=label(plan.facts.workload.spans, "one output token", "output"),
                help=("remove the phases, or request at least 2 output tokens",),
            )
