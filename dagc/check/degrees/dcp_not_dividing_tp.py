"""D305: decode-context parallelism reuses the ranks of a tp group, and does not divide it."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import nearest, use_option
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.source import Span

CODE = Code("D305", "dcp-not-dividing-tp")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    for service in plan.deployment.services:
        layout, dcp = service.attention_pool.attention, service.options.decode_context
        if layout is not None and layout.tp % dcp:
            yield _diagnostic(service.option_span("dcp"), layout.tp, dcp)


def _diagnostic(span: Span | None, tp: int, dcp: int) -> Diagnostic:
    allowed = nearest(dcp, lambda d: tp % d == 0, tp)
    return CODE.at(
        span,
        f"`dcp {dcp}` does not divide `tp {tp}`",
        "each group of dcp ranks lies within one tp group and shares a cache",
        offers=use_option(span, (f"dcp {line[0]}" for line in allowed)),
    )
