"""D442: Megatron-Core needs as many expert slots on each rank."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import uneven_slots
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.plan import Plan

CODE = Code("D442", "megatron-experts-uneven")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service."""
    yield from uneven_slots(plan, CODE)
