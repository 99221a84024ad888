"""D413: vLLM splits a prompt over ranks only where the cache is latent."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.attention import AttentionKind
from dagc.check.helpers.engines import context_parallel
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D413", "vllm-cp-without-latent")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service of a model whose attention is stated."""
    attention = plan.facts.model.attention
    engine = plan.facts.engine
    if engine is not None and attention is not None and attention.kind is not AttentionKind.MLA:
        of = f"{engine.version} has prefill context parallelism for latent attention"
        yield from context_parallel(plan, CODE, of, f"the model has {attention.kind} attention")
