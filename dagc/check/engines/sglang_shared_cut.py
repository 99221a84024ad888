"""D424: SGLang cuts shared experts over all ranks of a stage, and there inside an fp8 block.

With an all-to-all backend they are whole on each rank; without one `DeepseekV2MoE` makes them of all of `--tp-size`,
whatever attention's dp (python/sglang/srt/models/deepseek_v2.py at v0.5.9). `Fp8LinearMethod` refuses such a shard.
Without expert parallelism they are fused with the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.dtype import Dtype
from dagc.catalog.part import Part
from dagc.check.helpers.alternatives import use_degree, written_factor
from dagc.check.helpers.blocks import BLOCK
from dagc.check.helpers.engines import services_under
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D424", "sglang-shared-experts-cut")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service with attention dp, whose expert groups are smaller than a stage."""
    model = plan.facts.model
    stored = dict(model.stored).get(Part.SHARED_EXPERTS)
    if model.experts is None or not model.experts.shared_ffn or stored is None or stored.dtype is not Dtype.FP8:
        return
    block, width = BLOCK[Dtype.FP8], model.experts.shared_ffn
    for engine, service in services_under(plan, CODE):
        attention, experts = service.attention_pool.attention, service.experts_pool.experts
        ranks = service.attention_pool.width
        if attention is None or experts is None or attention.dp == 1 or experts.degrees.ep in (1, ranks):
            continue
        if width % ranks or width // ranks % block:
            factor = written_factor(experts, AxisKind.EP)
            yield CODE.at(
                factor.span if factor else service.span,
                f"{engine.title} cuts the shared experts over the {ranks} ranks of a stage, inside an fp8 block",
                f"{width} / {ranks} = {width / ranks:g}, no multiple of {block}",
                notes=("with ep over all ranks of a stage, an exchange of tokens keeps them whole",),
                offers=use_degree(plan, factor.span, ((ranks,),), " on these ranks", applies=False) if factor else (),
            )
