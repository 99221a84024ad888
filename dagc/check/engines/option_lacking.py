"""D402: an option is written that the named engine does not have."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import services_under
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.instances import instance_of
from dagc.plan.plan import Plan

CODE = Code("D402", "option-not-in-engine")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each option of each service."""
    for engine, service in services_under(plan):
        instance = instance_of(plan.deployment, service, plan.facts.model)
        for name, reason in engine.lacking_options(instance) if instance else ():
            yield CODE.at(
                service.option_span(name),
                reason,
                f"not in {engine.title}",
                help=(f"leave `{name}` out, or name another engine",),
            )
