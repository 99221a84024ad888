"""D404: decode cannot read the cache of prefill, because their degrees do not fit together."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import services_under
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan

CODE = Code("D404", "pools-not-alike")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic at the decode service."""
    found = {service.phase: (engine, service) for engine, service in services_under(plan, CODE)}
    if len(found) < 2 or Phase.DECODE not in found:
        return
    (engine, decode), prefill = found[Phase.DECODE], found[Phase.PREFILL][1]
    pools = [service.attention_pool.attention for service in (prefill, decode)]
    first, last = (pool.tp if pool else 1 for pool in pools)
    if "tp" in engine.decode_multiples and last % first:
        yield CODE.at(
            decode.span,
            f"{engine.title} {engine.version} moves a cache from tp {first} to a multiple of it, and decode has tp "
            f"{last}",
            "a rank of decode reads one of prefill",
            help=(f"use a tp of decode that is a multiple of {first}",),
        )
    if "pp" in engine.decode_multiples and decode.stages not in (1, prefill.stages):
        yield CODE.at(
            decode.span,
            f"{engine.title} {engine.version} moves a cache to as many stages or to one, and decode has "
            f"{decode.stages} for {prefill.stages}",
            "stages of decode read those of prefill",
            help=(f"use {prefill.stages} stages for decode, or one",),
        )
