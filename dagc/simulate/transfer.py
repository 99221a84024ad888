"""The transfer of a request's KV cache from the prefill service to the decode service: a base and a time a token.

It is the transfer of one request as TTFT of the closed form has it (`dagc.lower.handover.lower_transfer`), lowered,
priced and scheduled for the shortest and the longest prompt. Between them the time
is a little longer than the chord, because short messages do not fill a link: by up to 3 % over lengths from 1 to 81,
more where layers keep no more than a window.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from dagc.cost.price import price
from dagc.lower.handover import lower_transfer
from dagc.plan.plan import Plan
from dagc.schedule.schedule import schedule_times
from dagc.schedule.template import TemplateCache


class CacheTransferTime(NamedTuple):
    """Picoseconds of a transfer: `base` and `token` for each token of the prompt, as `Policy` has them."""

    base: int
    token: int


def transfer_time(plan: Plan, shortest: int, longest: int) -> CacheTransferTime:
    """What the transfer of a prompt takes that has from `shortest` to `longest` tokens; nothing without own pools."""
    low, high = max(1, shortest), max(1, shortest, longest)
    first = _transfer(plan, low)
    if high == low:
        return CacheTransferTime(first, 0)
    token = max(0, round((_transfer(plan, high) - first) / (high - low)))
    return CacheTransferTime(max(0, first - token * low), token)


def _transfer(plan: Plan, prompt: int) -> int:
    """Picoseconds of the transfer of one prompt's cache."""
    workload = plan.facts.workload
    # A static batch would be handed over whole.
    one = replace(workload, prompt=prompt, concurrency=workload.concurrency or 1)
    priced_for = replace(plan, facts=replace(plan.facts, workload=one))
    phase = lower_transfer(priced_for)
    return schedule_times(price(phase, priced_for), TemplateCache()).makespan if phase else 0
