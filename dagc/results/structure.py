"""A plan's structure as a record: the part of a summary that needs neither shapes nor prices.

It assumes a well-typed strategy and judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod

from dagc.degrees import AxisKind
from dagc.plan.deployment import Deployment, Pool, Service
from dagc.plan.layout import Layout
from dagc.results import summary as out


def structure(deployment: Deployment) -> out.StructureRecord:
    """The structure of a deployment, without its facts."""
    pools = [(service, pool) for service in deployment.services for pool in service.pools]
    return out.StructureRecord(
        name=deployment.name,
        strategy=strategy_text(deployment),
        gpus=deployment.gpus,
        derivation=list(deployment.derivation),
        naive_product=deployment.naive_product,
        replicas=replicas(deployment),
        stages=_common(service.stages for service in deployment.services),
        pools=[_pool(deployment, service, pool) for service, pool in pools],
        domains=_domains(pools[0][1]) if len(pools) == 1 else None,
    )


def strategy_text(deployment: Deployment) -> str:
    """The strategy as written, on one line and without comments."""
    return one_line(deployment.strategy.body.outer.text)


def one_line(text: str) -> str:
    """A text of the language on one line and without comments. A byte order mark is a blank, as in the grammar."""
    return " ".join(re.sub(r"#[^\n]*|\ufeff", " ", text).split())


def replicas(deployment: Deployment) -> int | None:
    """Copies of the model over the whole deployment; None where the two phases have different numbers."""
    return _common(deployment.replicas * service.replicas for service in deployment.services)


def pool_gpus(deployment: Deployment, service: Service, pool: Pool) -> int:
    """GPUs of a pool over all replicas."""
    return pool.gpus_per_replica * service.replicas * deployment.replicas


def _common(values: Iterable[int]) -> int | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _pool(deployment: Deployment, service: Service, pool: Pool) -> out.PoolRecord:
    return out.PoolRecord(
        name=pool.name,
        phase=service.phase.value,
        role=pool.role.value,
        gpus=pool_gpus(deployment, service, pool),
        replicas=deployment.replicas * service.replicas,
        stages=pool.stages,
        width=pool.width,
        device=pool.device,
        domains=_domains(pool),
    )


def _domains(pool: Pool) -> out.DomainsRecord:
    attention, experts = pool.attention, pool.experts
    return out.DomainsRecord(
        attention=out.AttentionDomain(tp=attention.tp, cp=attention.cp, dp=attention.dp, implied=_implied(attention))
        if attention
        else None,
        experts=out.ExpertDomain(tp=experts.tp, ep=experts.ep, dp=experts.dp, implied=_implied(experts))
        if experts
        else None,
    )


def _implied(layout: Layout) -> dict[str, int]:
    """By axis, the part of a degree that nobody wrote."""
    factors = [factor for factor in layout.factors if factor.implied]
    degrees = {axis.value: prod(one.degree for one in factors if one.axis is axis) for axis in AxisKind}
    return {axis: degree for axis, degree in degrees.items() if degree > 1}
