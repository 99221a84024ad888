"""D405: tokens cannot be guessed ahead in a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import pipeline
from dagc.check.helpers.engines import services_under
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D405", "drafts-in-pipeline")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service with stages, but for phases in which the engine has both."""
    for engine, service in services_under(plan, CODE):
        if plan.facts.workload.drafted and service.stages > 1 and service.phase.value not in engine.drafts_in_stages:
            axis = pipeline(plan, service)
            yield CODE.at(
                axis.span if axis else service.span,
                f"{engine.title} {engine.version} has no drafts in a pipeline of {service.stages} stages",
                "speculative decoding needs a single stage",
                help=("leave `draft` out of the workload, or use one stage",),
            )
