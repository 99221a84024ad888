"""W205: the number of GPUs is not the product of all degrees that are written."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.repair import gpus
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W205", "gpus-not-product", Severity.WARNING, is_default=False)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """At most one."""
    deployment = plan.deployment
    if deployment.gpus != deployment.naive_product:
        yield CODE.at(
            deployment.strategy.body.outer,
            f"`{plan.name}` has {gpus(deployment.gpus)}, and its degrees multiply to {deployment.naive_product}",
            "the strategy shares or adds GPUs",
            notes=deployment.derivation,
            help=("nest every axis inside the one before it, without `;` and `|`",),
        )
