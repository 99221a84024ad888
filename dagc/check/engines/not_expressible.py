"""D401: the named engine cannot cut the ranks as the strategy does."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import services_under
from dagc.check.helpers.repair import written_whole
from dagc.degrees import AxisKind, Parallelism
from dagc.diag.diagnostic import Choice, Code, Diagnostic, Offer
from dagc.diag.fixing import write
from dagc.engines.engine import Engine
from dagc.engines.instance import Instance
from dagc.engines.nearest import nearest
from dagc.plan.deployment import Service
from dagc.plan.instances import instance_of
from dagc.plan.plan import Plan
from dagc.plan.scopes import PHASES, subtrees
from dagc.syntax.printer import format_strategy
from dagc.syntax.tree import Scope

CODE = Code("D401", "not-expressible-in-engine")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    for engine, service in services_under(plan):
        instance = instance_of(plan.deployment, service, plan.facts.model)
        if instance is None:
            yield CODE.at(
                service.span,
                f"not expressible in {engine.title}: it keeps attention and experts of a stage on the same GPUs",
                "separate pools for attention and experts",
                help=("share the GPUs, as in `ep 4 ; tp 2`",),
            )
            continue
        reason = engine.lacking_phase(instance) or engine.settings_of(instance.sizes)
        if isinstance(reason, str):
            yield _diagnostic(plan, engine, service, instance, reason)
            continue
        misplaced = engine.lacking_placement(instance, plan.facts.cluster.machine)
        if misplaced:
            yield CODE.at(service.span, f"not expressible in {engine.title}: {misplaced}", "over several nodes")


def _diagnostic(plan: Plan, engine: Engine, service: Service, instance: Instance, reason: str) -> Diagnostic:
    lacks_phase = engine.lacking_phase(instance) is not None
    found = None if lacks_phase else nearest(engine, instance.sizes)
    way_out = "use one service for both phases" if lacks_phase else "use other degrees, or another engine"
    factors = service.experts_pool.experts.factors if service.experts_pool.experts else ()
    place = next((f.span for f in factors if f.axis is AxisKind.EP and f.span), None)
    return CODE.at(
        place or service.span,
        f"not expressible in {engine.title}: {reason}",
        f"on {plan.deployment.replicas * service.replicas * service.gpus_per_replica} GPUs",
        help=() if found else (way_out,),
        offers=_offers(plan, engine, service, found) if found else (),
    )


def _offers(plan: Plan, engine: Engine, service: Service, sizes: Parallelism) -> tuple[Offer, ...]:
    """The nearest strategy in place of the service's, inside its phase where it has one."""
    from dagc.notation.spelling import spell  # what it imports is of no use to a plan without this diagnostic

    body = plan.deployment.strategy.body
    phases = [part for part in subtrees(body) if isinstance(part, Scope) and part.kind in PHASES]
    own = next((scope.body for scope in phases if scope.kind.value == service.phase.value), body)
    if own is None:
        return ()
    lead = f"for {service.phase.value}, the" if phases else "the"
    text = format_strategy(spell(sizes, service.span))
    (fix,) = write(written_whole(own), text)
    return (Offer(((Choice(f"`{text}`", fix, applies=False),),), f"{lead} nearest that {engine.title} has is"),)
