"""G101: a strategy needs more GPUs than its cluster has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from dagc.check.helpers.alternatives import FALLBACKS, choice, with_degree
from dagc.check.helpers.labels import cluster_gpus, label
from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Offer
from dagc.plan.plan import Plan
from dagc.plan.scopes import subtrees
from dagc.syntax.tree import Axis

CODE = Code("G101", "cluster-too-small")

_MOST = 2


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one; pools with a device of their own do not count against the cluster."""
    available, needed = plan.facts.cluster.gpus, cluster_gpus(plan)
    if available is not None and needed > available:
        yield CODE.at(
            plan.deployment.strategy.body.outer,
            f"`{plan.name}` needs {gpus(needed)}, and the cluster has {available}",
            f"{needed - available} too many",
            labels=label(plan.facts.cluster.spans, f"{gpus(available)} here", "gpus"),
            notes=plan.deployment.derivation,
            offers=_offers(plan, available),
        )


def _offers(plan: Plan, available: int) -> tuple[Offer, ...]:
    """One degree made smaller, the largest that fits of each axis; and the cluster that would do."""
    axes = [part for part in subtrees(plan.deployment.strategy.body) if isinstance(part, Axis)]
    fitting = [(axis, degrees) for axis in axes if (degrees := _smaller(plan, axis, available))]
    fitting.sort(key=lambda pair: -with_degree(plan, pair[0], pair[1][0]))
    lines = tuple(tuple(choice(plan, axis, degree, applies=False) for degree in degrees) for axis, degrees in fitting)
    needed = f"a cluster of {gpus(cluster_gpus(plan))}"
    return (Offer(lines, tail=f", or {needed}", otherwise=f"use {needed}", most=_MOST),)


def _smaller(plan: Plan, axis: Axis, available: int) -> list[int]:
    """Smaller divisors of the degree with which the strategy fits, the largest first."""
    divisors = (d for d in range(axis.degree - 1, 0, -1) if axis.degree % d == 0)
    return list(islice((d for d in divisors if with_degree(plan, axis, d) <= available), FALLBACKS))
