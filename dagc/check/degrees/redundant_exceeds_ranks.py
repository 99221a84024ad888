"""D204: more redundant experts than the ranks can hold without holding one twice."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_option
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D204", "redundant-exceeds-ranks")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    experts = plan.facts.model.expert_count
    for service in plan.deployment.services:
        layout = service.experts_pool.experts
        if not experts or layout is None or service.options.redundant <= experts * (layout.ep - 1):
            continue
        most = experts * (layout.ep - 1)
        yield CODE.at(
            service.option_span("redundant"),
            f"{service.options.redundant} redundant experts, but the ranks have slots for {most}",
            f"a rank holds each of the {experts} experts once: {experts} × ({layout.ep} - 1) = {most}",
            help=() if most else ("leave `redundant` out, or split with `ep`",),
            offers=use_option(service.option_span("redundant"), [f"redundant {most}"], tail=" or less") if most else (),
        )
