"""W107: decode-context parallelism is larger than the number of copies of the KV cache that it could part."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.attention import AttentionKind
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W107", "dcp-exceeds-cache-copies", Severity.WARNING)


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each service; latent attention has a copy on every rank of a tp group."""
    model = plan.facts.model
    latent = model.attention is not None and model.attention.kind is AttentionKind.MLA
    if not model.kv_heads:
        return
    for service in plan.deployment.services:
        layout, dcp = service.attention_pool.attention, service.options.decode_context
        copies = 1 if layout is None else layout.tp if latent else max(1, layout.tp // model.kv_heads)
        if dcp > copies:
            yield CODE.at(
                service.option_span("dcp"),
                f"`dcp {dcp}` shards a KV cache of which a tp group has {copies} {'copy' if copies == 1 else 'copies'}",
                f"tp {layout.tp if layout else 1} over {model.kv_heads} key-value heads",
                help=(f"use `dcp {copies}` or less",) if copies > 1 else ("leave `dcp` out",),
            )
