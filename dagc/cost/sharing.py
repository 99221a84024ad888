"""A device whose multiprocessors are shared with an exchange that runs at the same time.

Kernels of high throughput move tokens with `SMS` multiprocessors of their own (`dagc.ops.token_exchange`); what is
computed beside them has the others, and so a smaller peak. Memory is as fast as ever. Kernels of low latency leave
their messages to the adapters while others compute, and take none.

Two micro-batches that hide each other's exchanges hardly ever compute with nothing in flight: all of the phase counts
as shared. 20 of 132 multiprocessors for exchanges: DeepSeek-V3 report (2024), section 3.2.2.
"""

from __future__ import annotations

from dataclasses import replace

from dagc.catalog.device import DeviceSpec
from dagc.graph.graph import PhaseGraph
from dagc.ops.token_exchange import SMS, ExchangeKernel, TokenExchange


def overlapped(graph: PhaseGraph, parts: int) -> bool:
    """Whether computation of a phase runs beside exchanges by kernels that take multiprocessors; of `parts` batches."""
    ops = (node.op for template in graph.templates for node in template.nodes)
    return parts > 1 and any(isinstance(op, TokenExchange) and op.kernel is ExchangeKernel.NORMAL for op in ops)


def beside_exchange(device: DeviceSpec) -> DeviceSpec:
    """The device with what an exchange leaves of it; the same where nobody knows how many multiprocessors it has."""
    if device.processors is None or device.processors <= SMS:
        return device
    left = device.processors - int(SMS)
    peaks = {dtype: peak * left / device.processors for dtype, peak in device.flops.items()}
    return replace(device, processors=left, flops=peaks)
