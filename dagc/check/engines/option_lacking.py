"""D402: an option is written that the named engine does not have."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import services_under
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.engines.express import lacking_options
from dagc.engines.profiles import Profile
from dagc.plan.deployment import Service
from dagc.plan.instances import instance_of
from dagc.plan.plan import Plan

CODE = Code("D402", "option-not-in-engine")

_OPTIONS = ("layers", "redundant", "overlap", "dcp")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each option of each service."""
    for profile, service in services_under(plan):
        instance = instance_of(plan.deployment, service, plan.facts.model)
        for reason in lacking_options(profile, instance) if instance else ():
            yield _diagnostic(profile, service, reason)


def _diagnostic(profile: Profile, service: Service, reason: str) -> Diagnostic:
    name = next((name for name in _OPTIONS if f"[{name}]" in reason), "layers")
    return CODE.at(
        service.option_span(name),
        reason,
        f"not in {profile.title}",
        help=(f"leave `{name}` out, or name another engine",),
    )
