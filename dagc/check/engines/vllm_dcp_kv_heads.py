"""D412: vLLM's decode context parallelism shares copies of key-value heads, and here there are too few."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.attention import AttentionKind
from dagc.check.helpers.alternatives import use_degree, use_option, written_factor
from dagc.check.helpers.engines import services_under
from dagc.check.helpers.labels import label
from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.engines.engine import Engine
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.units import counted

CODE = Code("D412", "vllm-dcp-without-copies")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each service; a latent cache is whole on every rank of tp, so always copied."""
    model = plan.facts.model
    if not model.kv_heads or (model.attention and model.attention.kind is AttentionKind.MLA):
        return
    for engine, service in services_under(plan, CODE):
        layout = service.attention_pool.attention
        dcp = service.options.decode_context
        if layout and dcp > 1 and layout.tp // model.kv_heads < dcp:
            yield _diagnostic(plan, engine, service, layout.tp, model.kv_heads)


def _diagnostic(plan: Plan, engine: Engine, service: Service, tp: int, kv_heads: int) -> Diagnostic:
    dcp, copies = service.options.decode_context, tp // kv_heads
    factor = written_factor(service.attention_pool.attention, AxisKind.TP)
    return CODE.at(
        service.option_span("dcp"),
        f"`dcp {dcp}` needs {dcp} copies of each key-value head in {engine.title}, and tp {tp} over {kv_heads} heads "
        f"has {copies or 'none'}",
        f"tp {tp} / {kv_heads} key-value heads = {tp / kv_heads:g}",
        labels=label(plan.facts.model.spans, f"{counted(kv_heads, 'key-value head')}", "kv_heads"),
        help=() if copies > 1 else ("or leave `dcp` out",),
        offers=(
            *use_degree(plan, factor.span if factor else None, ((dcp * kv_heads,),), ", or more", applies=False),
            *use_option(service.option_span("dcp"), [f"dcp {copies}"] if copies > 1 else [], applies=False),
        ),
    )
