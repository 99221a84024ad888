"""D443: Megatron-Core supports tp with experts only with sequence parallelism."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import add_option, written_factor
from dagc.check.helpers.engines import services_under
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D443", "megatron-tp-without-sp")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service of a model with experts."""
    if not plan.facts.model.expert_count:
        return
    for engine, service in services_under(plan, CODE):
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        if factor is not None and factor.degree > 1 and not service.options.sequence_parallel:
            yield CODE.at(
                factor.span,
                f"{engine.title} supports `tp {factor.degree}` with experts only with sequence parallelism",
                "no sequence parallelism",
                offers=add_option(plan, factor.span, "sp"),
            )
