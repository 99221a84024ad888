"""A deployment as an engine places it: its numbers of ranks, its order of the axes in a stage, its split of layers.

Without an engine ranks follow the nesting of the text, and what is implied is outermost. An engine has its order:
vLLM numbers attention's dp outside the stages, SGLang the experts' tp inside ep, TensorRT-LLM ep inside it. Pools that
are only attention or only experts stay as they are, because no engine has them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dagc.plan.deployment import Deployment, Pool, Role, Service
from dagc.plan.layout import Layout

if TYPE_CHECKING:
    from dagc.engines.engine import Engine


def placed(deployment: Deployment, engine: Engine | None) -> Deployment:
    """The deployment under an engine; itself under none."""
    if engine is None:
        return deployment
    return replace(deployment, services=tuple(_service(service, engine) for service in deployment.services))


def _service(service: Service, engine: Engine) -> Service:
    pools = tuple(_pool(pool, engine) if pool.role is Role.ALL else pool for pool in service.pools)
    return replace(service, pools=pools, layer_split=engine.runtime.layer_split)


def _pool(pool: Pool, engine: Engine) -> Pool:
    attention = _ordered(pool.attention, engine.attention)
    experts = _ordered(pool.experts, engine.experts)
    ordered = replace(pool, attention=attention, experts=experts)
    if attention is None or engine.numbering.index("pp") < engine.numbering.index("dp"):
        return ordered
    inside = attention.size // attention.dp
    return replace(ordered, stage_stride=inside, run=inside, run_stride=inside * pool.stages)


def _ordered(layout: Layout | None, axes: tuple[str, ...]) -> Layout | None:
    """A layout with its factors in an engine's order; factors of one axis keep theirs."""
    if layout is None:
        return None
    return Layout(tuple(sorted(layout.factors, key=lambda factor: axes.index(factor.axis.value))))
