"""D304: the inner width of the dense FFN does not divide over the ranks of attention's tp group, which shards it."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.alternatives import attention_tps, indivisible
from dagc.check.helpers.labels import label
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D304", "dense-ffn-not-divisible")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; silent where heads do not divide either."""
    model = plan.facts.model
    for _, factor in attention_tps(plan):
        ffn = next((width for width in model.dense_widths if width % factor.degree), None)
        if ffn and not (model.heads and model.heads % factor.degree):
            place = label(model.spans, f"the dense FFN is {ffn} wide", "dense_ffn")
            yield indivisible(CODE, plan, factor, ffn, f"the inner width {ffn} of the dense FFN", place)
