"""A deployment as an engine places it: its numbers of ranks, its order of the axes in a stage, its split of layers.

Without an engine ranks follow the nesting of the text, and what is implied stands outermost. An engine has its order:
vLLM numbers attention's dp outside the stages, SGLang the experts' tp inside ep, TensorRT-LLM ep inside it. Pools that
are only attention or only experts stay as they are, because no engine has them.
"""

from __future__ import annotations

from dataclasses import replace

from dagc.engines.profiles import Profile
from dagc.plan.deployment import Deployment, Pool, Role, Service
from dagc.plan.layout import Layout


def placed(deployment: Deployment, profile: Profile | None) -> Deployment:
    """The deployment under an engine; itself under none."""
    if profile is None:
        return deployment
    return replace(deployment, services=tuple(_service(service, profile) for service in deployment.services))


def _service(service: Service, profile: Profile) -> Service:
    pools = tuple(_pool(pool, profile) if pool.role is Role.ALL else pool for pool in service.pools)
    return replace(service, pools=pools, layer_split=profile.layer_split)


def _pool(pool: Pool, profile: Profile) -> Pool:
    attention = _ordered(pool.attention, profile.attention)
    experts = _ordered(pool.experts, profile.experts)
    ordered = replace(pool, attention=attention, experts=experts)
    if attention is None or profile.numbering.index("pp") < profile.numbering.index("dp"):
        return ordered
    inside = attention.size // attention.dp
    return replace(ordered, stage_stride=inside, run=inside, run_stride=inside * pool.stages)


def _ordered(layout: Layout | None, axes: tuple[str, ...]) -> Layout | None:
    """A layout with its factors in an engine's order; factors of one axis keep theirs."""
    if layout is None:
        return None
    return Layout(tuple(sorted(layout.factors, key=lambda factor: axes.index(factor.axis.value))))
