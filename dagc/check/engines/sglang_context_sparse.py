"""D423: SGLang splits a prompt over ranks only where attention is sparse."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import context_parallel
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D423", "sglang-cp-without-sparse")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service of a model whose attention is stated."""
    attention = plan.facts.model.attention
    if attention is not None and attention.indexer is None:
        reason = "with any other attention every rank computes the whole prompt"
        yield from context_parallel(plan, CODE, "has context parallelism for sparse attention", reason)
