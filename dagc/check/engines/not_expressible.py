"""D401: the named engine cannot cut the ranks as the strategy does."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.engine_terms import services_under
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.engines.counting import settings_of_sizes
from dagc.engines.express import lacking_phase
from dagc.engines.instance import Instance
from dagc.engines.nearest import nearest, strategy_text
from dagc.engines.profiles import Profile
from dagc.plan.deployment import Service
from dagc.plan.instances import instance_of
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("D401", "not-expressible-in-engine")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    for profile, service in services_under(plan):
        instance = instance_of(plan.deployment, service, plan.facts.model)
        if instance is None:
            yield _separate(profile, service)
            continue
        reason = lacking_phase(profile, instance) or settings_of_sizes(profile, instance.sizes)
        if isinstance(reason, str):
            yield _diagnostic(plan, profile, service, instance, reason)


def _separate(profile: Profile, service: Service) -> Diagnostic:
    return CODE.at(
        service.span,
        f"not expressible in {profile.title}: it keeps attention and experts of a stage on the same GPUs",
        "separate pools for attention and experts",
        help=("share the GPUs, as in `ep 4 ; tp 2`",),
    )


def _diagnostic(plan: Plan, profile: Profile, service: Service, instance: Instance, reason: str) -> Diagnostic:
    found = None if lacking_phase(profile, instance) else nearest(profile, instance.sizes)
    phase = f"for {instance.phase}, " if instance.phase else ""
    offer = f"{phase}the nearest that {profile.title} has is `{strategy_text(found)}`" if found else None
    factors = service.experts_pool.experts.factors if service.experts_pool.experts else ()
    place = next((f.span for f in factors if f.axis is AxisKind.EP and f.span), None)
    return CODE.at(
        place or service.span,
        f"not expressible in {profile.title}: {reason}",
        f"on {plan.deployment.replicas * service.replicas * service.gpus_per_replica} GPUs",
        help=(offer,) if offer else ("let one service do both phases",),
    )
