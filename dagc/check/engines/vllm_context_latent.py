"""D413: vLLM splits a prompt over ranks only where the cache is latent."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.attention import AttentionKind
from dagc.check.helpers.alternatives import written_factor
from dagc.check.helpers.engines import services_under
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D413", "vllm-cp-without-latent")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service of a model whose attention is stated."""
    attention = plan.facts.model.attention
    if attention is None or attention.kind is AttentionKind.MLA:
        return
    for engine, service in services_under(plan, CODE):
        factor = written_factor(service.attention_pool.attention, AxisKind.CP)
        if factor is not None and factor.degree > 1:
            yield CODE.at(
                factor.span,
                f"{engine.title} {engine.version} has prefill context parallelism for latent attention only",
                f"the model has {attention.kind} attention",
                help=("use `tp` or `dp` in its place",),
            )
