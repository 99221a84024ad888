"""W204: context parallelism in a deployment that decodes."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import written_factor
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan

CODE = Code("W204", "cp-in-decode", Severity.WARNING, is_default=False)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service that decodes."""
    for service in plan.deployment.services:
        factor = written_factor(service.attention_pool.attention, AxisKind.CP)
        if factor is not None and factor.degree > 1 and service.phase is not Phase.PREFILL:
            yield CODE.at(
                factor.span,
                f"`cp {factor.degree}` in decode, where tokens are generated one at a time",
                "a decode step has one position of a sequence to compute",
                help=("keep `cp` to a prefill pool, `prefill < cp … > | decode < … >`",),
            )
