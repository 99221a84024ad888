"""The services of a deployment as instances of an engine: plain degrees, and the options beside them."""

from __future__ import annotations

from dagc.catalog.model import ModelSpec
from dagc.degrees import Parallelism
from dagc.engines.instance import Instance, ServingSettings
from dagc.plan.deployment import Deployment, Phase, Service


def instance_of(
    deployment: Deployment, service: Service, model: ModelSpec, serving: ServingSettings | None = None
) -> Instance | None:
    """A service as instances; None where its attention and experts have pools of their own, which no engine knows."""
    attention, experts = service.attention_pool.attention, service.experts_pool.experts
    if len(service.pools) > 1 or attention is None:
        return None
    options = service.options
    return Instance(
        sizes=Parallelism(
            attention.degrees,
            None if model.is_dense or experts is None else experts.degrees,
            service.stages,
            deployment.replicas * service.replicas,
        ),
        phase=None if service.phase is Phase.BOTH else service.phase.value,
        layers=options.layers,
        redundant=options.redundant,
        experts=model.expert_count,
        overlap=options.overlap,
        decode_context=options.decode_context,
        sequence_parallel=options.sequence_parallel,
        exchange=options.exchange,
        dense_ffn=0 if model.is_dense else model.dense_ffn or 0,
        is_sparse=model.attention is not None and model.attention.indexer is not None,
        serving=serving or ServingSettings(),
    )
