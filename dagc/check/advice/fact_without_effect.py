"""W134: a stated fact that changes nothing beside the others."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W134", "fact-without-effect", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each such field."""
    for name, reason in _of_model(plan):
        span = plan.facts.model.spans.get(name)
        if span is not None:
            yield CODE.at(span, f"`{name}` has no effect here", reason, help=("leave it out",))
    routing = plan.facts.workload.spans.get("routing_zipf")
    reason = _of_routing(plan)
    if routing is not None and reason:
        yield CODE.at(routing, "skewed routing has no effect here", reason, help=("write `routing uniform`",))


def _of_model(plan: Plan) -> Iterator[tuple[str, str]]:
    model = plan.facts.model
    if model.is_dense:
        why = f"{model.name} has no experts"
        yield from (("first_dense", why), ("moe_every", why), ("expert_dtype", why))
    elif model.first_dense == 0 and model.moe_every == 1:
        yield "dense_ffn", "every layer holds experts: `first_dense` is 0 and `moe_every` 1"
    if model.experts is not None and not model.experts.shared_ffn:
        yield "shared_gate", f"{model.name} has no shared experts"


def _of_routing(plan: Plan) -> str:
    model = plan.facts.model
    if model.is_dense:
        return f"{model.name} has no experts"
    if model.expert_count is not None and model.top == model.expert_count:
        return f"every token visits all {model.expert_count} experts"
    return "" if plan.facts.workload.zipf_exponent else "an exponent of 0 makes all experts alike"
