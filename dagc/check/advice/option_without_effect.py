"""W130: an option that changes nothing where it occurs."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Plan, fills_pipeline, sums_results

CODE = Code("W130", "option-without-effect", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each such option."""
    for service in plan.deployment.services:
        for name, reason in _reasons(plan, service):
            span = service.option_span(name)
            if span is not None:
                yield CODE.at(span, f"`{span.text}` has no effect here", reason, help=("leave it out",))


def _reasons(plan: Plan, service: Service) -> Iterator[tuple[str, str]]:
    """Options of a service, by name, that do nothing, and why."""
    options, attention, experts = service.options, service.attention_pool.attention, service.experts_pool.experts
    model = plan.facts.model
    if options.sequence_parallel and attention is not None and attention.tp == 1:
        yield "sp", "one rank holds the whole sequence: `tp` is 1"
    if options.decode_context > 1 and service.phase is Phase.PREFILL:
        yield "dcp", "it shards the KV cache for decode, and this pool does no decode"
    if fills_pipeline(plan, service):
        yield "micro", "prompts of a step pass the stages as one micro-batch, and the next step follows them"
    if options.overlap > 1 and (model.is_dense or (experts is not None and experts.size == 1)):
        yield "overlap", "there is no exchange with experts on other ranks to hide"
    if model.is_dense or (experts is not None and experts.ep == 1):
        yield "exchange", "no tokens are exchanged: no experts lie on other ranks"
    elif sums_results(plan, service):
        yield "exchange", "no tokens are exchanged: all ranks of the expert group hold the same ones"
    if model.experts is not None and not model.experts.shared_ffn:
        yield "shared", f"{model.name} has no shared experts"
        yield "beside", f"{model.name} has no shared experts"
