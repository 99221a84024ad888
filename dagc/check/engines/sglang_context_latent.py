"""D425: SGLang splits a prompt of latent attention over all ranks of a stage that no dp takes.

`_deepseek_family_overrides`, python/sglang/srt/arg_groups/model_overrides/deepseek_v2.py at v0.5.23: attention's cp is
tp / dp whatever is given, the experts' ep is tp, and sparse attention has one node.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.attention import AttentionKind
from dagc.check.helpers.alternatives import written_factor
from dagc.check.helpers.engines import services_under
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D425", "sglang-cp-of-latents")

_MOST_RANKS = 8
"""Of a stage with sparse attention: `assert cfg.tp_size <= 8`."""


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service of a model with latent attention."""
    attention, model = plan.facts.model.attention, plan.facts.model
    if attention is None or attention.kind is not AttentionKind.MLA:
        return
    for engine, service in services_under(plan, CODE):
        layout, experts = service.attention_pool.attention, service.experts_pool.experts
        factor = written_factor(layout, AxisKind.CP)
        if layout is None or factor is None or factor.degree == 1:
            continue
        width = service.attention_pool.width
        if layout.degrees.tp > 1:
            reason = f"cp takes all ranks of attention that dp leaves, and there is tp {layout.degrees.tp}"
        elif attention.indexer is not None and width > _MOST_RANKS:
            reason = f"with sparse attention a stage has at most {_MOST_RANKS} ranks, and this one has {width}"
        elif attention.indexer is None and not model.is_dense and experts is not None and experts.degrees.ep != width:
            reason = f"it sets ep to the {width} ranks of a stage, and ep is {experts.degrees.ep}"
        else:
            continue
        yield CODE.at(
            factor.span,
            f"{engine.title} {engine.version} cannot split a prompt so: {reason}",
            "context parallelism of latent attention",
            help=("let cp take all ranks of a stage, and ep as well, or leave it out",),
        )
