"""D422: SGLang supports two-batch overlap only with an all-to-all backend, which sets ep to all ranks of a stage."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import use_degree, written_factor
from dagc.check.helpers.engines import services_under
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D422", "sglang-overlap-below-tp")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    for engine, service in services_under(plan, CODE):
        width = service.experts_pool.width
        factor = written_factor(service.experts_pool.experts, AxisKind.EP)
        if service.options.overlap > 1 and factor is not None and factor.degree != width:
            yield CODE.at(
                service.option_span("overlap"),
                f"`overlap` needs DeepEP in {engine.title}, which sets ep to the {width} ranks of a stage, but ep is "
                f"{factor.degree}",
                "two batches overlap only with an all-to-all backend",
                help=("or leave `overlap` out",),
                offers=use_degree(plan, factor.span, ((width,),), " on these ranks", applies=False),
            )
