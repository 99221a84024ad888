"""D445: Megatron-Core splits key-value heads over tp and does not copy them."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.attention import AttentionKind
from dagc.check.helpers.alternatives import nearest, use_degree, written_factor
from dagc.check.helpers.engines import services_under
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D445", "megatron-query-groups")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; a latent cache has no key-value heads."""
    model = plan.facts.model
    kv_heads = model.kv_heads
    if not kv_heads or (model.attention and model.attention.kind is AttentionKind.MLA):
        return
    for engine, service in services_under(plan, CODE):
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        if factor is not None and kv_heads % factor.degree:
            fitting = nearest(factor.degree, lambda degree: kv_heads % degree == 0, kv_heads)
            yield CODE.at(
                factor.span,
                f"{engine.title} cannot split {kv_heads} key-value heads over `tp {factor.degree}`",
                f"{kv_heads} / {factor.degree} is not whole, and heads are not copied",
                labels=label(model.spans, f"{counted(kv_heads, 'key-value head')}", "kv_heads"),
                offers=use_degree(plan, factor.span, fitting, applies=False),
            )
