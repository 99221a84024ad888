"""W203: experts are split by tp as well as by ep, so that the two multiply."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import written_factor
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W203", "tp-inside-ep", Severity.WARNING, is_default=False)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service."""
    for service in plan.deployment.services:
        layout = service.experts_pool.experts
        tp = written_factor(layout, AxisKind.TP)
        if layout is not None and tp is not None and tp.degree > 1 and layout.ep > 1:
            yield CODE.at(
                tp.span,
                f"`tp {tp.degree}` is inside `ep {layout.ep}`",
                f"each expert on {tp.degree} GPUs: {layout.ep} × {tp.degree} = {layout.ep * tp.degree}",
                help=(f"join them by `;`, `ep {layout.ep} ; tp {tp.degree}`, to share the GPUs",),
            )
