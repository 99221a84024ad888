"""W154: TPOT holds for outputs of one length alone, and is much longer where they vary.

In a closed loop requests of one length stay in waves where prompts have steps of their own: they end together, and the
prompts of the next ones are computed together, on all ranks of attention dp at once. Where lengths vary prompts come
one by one, and each holds up all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.results.assessment import Assessment
from dagc.units import format_seconds, format_share

CODE = Code("W154", "outputs-of-one-length", Severity.WARNING)

MARGIN = 0.2
"""Share by which TPOT is longer at least: differences below it are within the error of most plans."""


def check(plan: Plan, assessment: Assessment) -> Iterator[Diagnostic]:
    """One warning where varied outputs make TPOT longer by more than `MARGIN`."""
    metrics, varied = assessment.metrics, assessment.varied_tpot
    if metrics is None or varied is None or varied <= (1 + MARGIN) * metrics.decode.seconds:
        return
    from dagc.plan.interleaving import VARIED, with_varied_outputs

    workload, other = plan.facts.workload, with_varied_outputs(plan)
    assert other is not None
    shortest, longest = other.facts.workload.output_bounds
    yield CODE.at(
        workload.spans.get("output") or plan.deployment.strategy.body.outer,
        f"TPOT of `{plan.name}` is {format_seconds(metrics.decode.seconds)} while all outputs have {workload.output:,} "
        f"tokens, and {format_seconds(varied)} where they vary by {format_share(VARIED)}",
        "outputs of one length",
        notes=("requests of one length end together, and the prompts of the next ones share steps",),
        help=(f"where served lengths vary, state it: `output {shortest} to {longest}`",),
    )
