"""D406: a decode step has more tokens on a rank than DeepEP's low-latency kernels take in SGLang."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import decode_exchanges
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D406", "low-latency-tokens")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service that sends tokens in decode; only where the plan states its workload."""
    for engine, service, tokens in decode_exchanges(plan, CODE):
        most = engine.most_dispatched
        if most is not None and tokens > most:
            draft = plan.facts.workload.drafted
            yield CODE.at(
                plan.facts.workload.spans.get("batch", service.span),
                f"{engine.title} takes at most {most} tokens of a rank in a decode step with DeepEP, and the workload "
                f"has {tokens}",
                f"{tokens // (1 + draft)} sequences on a rank × {1 + draft} tokens" if draft else "tokens of a rank",
                help=("use more ranks of attention dp, or a smaller batch",),
            )
