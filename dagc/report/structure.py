"""A plan's structure as plain data: the part of a summary that needs neither shapes nor prices.

Turns a deployment into the fields of `summary.json` up to `domains`. Plain dictionaries, so that `dagc check` need not
load the models of the whole summary. It assumes a well-typed strategy and judges nothing.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any

from dagc.degrees import AxisKind
from dagc.plan.deployment import Deployment, Pool, Service
from dagc.plan.layout import Layout
from dagc.plan.plan import Plan

Data = dict[str, Any]

_ATTENTION_AXES = (AxisKind.TP, AxisKind.CP, AxisKind.DP)
_EXPERT_AXES = (AxisKind.TP, AxisKind.EP, AxisKind.DP)


def structure(plan: Plan | Deployment) -> Data:
    """`name`, `strategy` (its text), `gpus`, `derivation`, `naive_product`, `replicas`, `stages`, `pools`, `domains`.

    `replicas` and `stages` are None where the services of the two phases differ in them; `domains` is None where
    there is more than one pool. Each pool has its own.
    """
    deployment = plan.deployment if isinstance(plan, Plan) else plan
    pools = [(service, pool) for service in deployment.services for pool in service.pools]
    return {
        "name": deployment.name,
        "strategy": strategy_text(deployment),
        "gpus": deployment.gpus,
        "derivation": list(deployment.derivation),
        "naive_product": deployment.naive_product,
        "replicas": replicas(deployment),
        "stages": _common(service.stages for service in deployment.services),
        "pools": [_pool(deployment, service, pool) for service, pool in pools],
        "domains": _domains(pools[0][1]) if len(pools) == 1 else None,
    }


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


def _common(values: Any) -> int | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _pool(deployment: Deployment, service: Service, pool: Pool) -> Data:
    return {
        "name": pool.name,
        "phase": service.phase.value,
        "role": pool.role.value,
        "gpus": pool_gpus(deployment, service, pool),
        "replicas": deployment.replicas * service.replicas,
        "stages": pool.stages,
        "width": pool.width,
        "device": pool.device,
        "domains": _domains(pool),
    }


def _domains(pool: Pool) -> Data:
    return {
        "attention": _domain(pool.attention, _ATTENTION_AXES),
        "experts": _domain(pool.experts, _EXPERT_AXES),
    }


def _domain(layout: Layout | None, axes: tuple[AxisKind, ...]) -> Data | None:
    """Degrees of a domain; `implied` holds, by axis, the part of a degree that nobody wrote."""
    if layout is None:
        return None
    degrees: Data = {axis.value: layout.degree(axis) for axis in axes}
    return {**degrees, "implied": _implied(layout, axes)}


def _implied(layout: Layout, axes: tuple[AxisKind, ...]) -> dict[str, int]:
    degrees = {a.value: prod(f.degree for f in layout.factors if f.axis is a and f.implied) for a in axes}
    return {axis: degree for axis, degree in degrees.items() if degree > 1}
