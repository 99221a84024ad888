"""W145: buffers of DeepEP's low-latency kernels do not fit beside what the engine takes of a device.

Each rank has room for every token that any rank may send to any expert: twice `n` messages to each of `E` experts, sent
and received, of hidden × 2 bytes and 4 for each 128 elements (`LowLatencyLayout`, csrc/config.hpp, deepseek-ai/DeepEP @
dd758caf).
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.check.helpers.engines import decode_exchanges
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan
from dagc.units import format_bytes

CODE = Code("W145", "low-latency-buffers", Severity.WARNING)

_SHARE = 0.03
"""Of a device, for what no engine counts: contexts, communicators, fragments."""


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service that sends tokens in decode; only where the plan states its workload."""
    model, memory = plan.facts.model, plan.facts.cluster.device.memory_bytes
    for engine, service, tokens in decode_exchanges(plan):
        if not model.hidden or not model.expert_count:
            continue
        held = low_latency_bytes(tokens, model.hidden, model.expert_count + service.options.redundant)
        free = (1 - engine.runtime.memory_share - _SHARE) * memory
        if held > free:
            yield CODE.at(
                service.span,
                f"buffers of low-latency kernels take {format_bytes(held)} on each GPU, and {engine.title} leaves "
                f"{format_bytes(max(0, free))} of it",
                f"{tokens} tokens on a rank to {model.expert_count + service.options.redundant} experts",
                notes=("the buffers are no part of the priced memory",),
                help=("use more ranks, or leave the engine a smaller share of memory",),
            )


def low_latency_bytes(tokens: int, hidden: int, experts: int) -> int:
    """Bytes of the buffers of a rank, in which all may send `tokens` each."""
    scales = hidden // 128 * 4
    dispatched, combined = 16 + max(2 * hidden, hidden + scales), scales + 2 * hidden
    sent = max(tokens * dispatched, experts * tokens * combined)
    return 2 * (sent + experts * tokens * max(dispatched, combined))
