"""W144: prefill and decode cut key-value heads differently, so that each block of cache is sent in parts."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.attention import AttentionKind
from dagc.check.helpers.engines import services_under
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan

CODE = Code("W144", "pools-resharded", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning; a latent cache is whole on every rank of tp, and is not cut."""
    attention = plan.facts.model.attention
    found = {service.phase: (engine, service) for engine, service in services_under(plan)}
    if attention is None or attention.kind in (AttentionKind.MLA, AttentionKind.SHARED) or len(found) < 2:
        return
    engine, decode = found[Phase.DECODE]
    sides = [found[phase][1].attention_pool.attention for phase in (Phase.PREFILL, Phase.DECODE)]
    first, last = (min(side.tp, attention.kv_heads) if side else 1 for side in sides)
    if first != last:
        parts = max(first, last) // min(first, last)
        yield CODE.at(
            decode.span,
            f"prefill holds {attention.kv_heads // first} key-value heads on a rank and decode "
            f"{attention.kv_heads // last}: {engine.title} sends each block of cache in {parts} parts",
            f"tp {first} and tp {last} over {attention.kv_heads} key-value heads",
            notes=("the transfer is priced in whole blocks",),
            help=("give both phases the same tp for attention",),
        )
