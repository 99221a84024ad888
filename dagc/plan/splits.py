"""Whole things over parts: layers over stages, experts over ranks, sequences over replicas and ranks.

Integer splits in which no part has more than one above another; the remainder goes one each to the first parts, but for
layers under an engine that does it otherwise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dagc.degrees import AxisKind
from dagc.plan.deployment import Deployment, Service
from dagc.plan.layout import Layout, Ranks


def split(total: int, parts: int) -> tuple[int, ...]:
    """`total` things over `parts` (at least 1), larger parts first; sums to `total`."""
    each, rest = divmod(total, parts)
    return (each + 1,) * rest + (each,) * (parts - rest)


def stage_layers(service: Service, model_layers: int) -> tuple[int, ...]:
    """Layers of each stage: as `[layers …]` says, else even, one more on the stages that the service's split names."""
    return service.options.layers or service.layer_split.over_stages(model_layers, service.stages)


def experts_per_rank(layout: Layout, experts: int, redundant: int = 0) -> Ranks:
    """Expert slots (experts and redundant copies) of one MoE layer on each local rank, shape (layout.size,).

    The ranks of a tp group hold parts of the same experts, and each counts them.
    """
    held = np.array(split(experts + redundant, layout.ep), dtype=np.int64)
    return held[layout.coordinate(AxisKind.EP)]


def replica_sequences(deployment: Deployment, service: Service, batch: int) -> tuple[int, ...]:
    """Sequences of each replica of a service, one entry a replica of the whole deployment."""
    return split(batch, deployment.replicas * service.replicas)


def fullest_replica(deployment: Deployment, service: Service, batch: int) -> int:
    """Sequences of the replica that has most; one where the batch leaves it none."""
    return max(1, replica_sequences(deployment, service, batch)[0])


def micro_batch_count(service: Service, sequences: int) -> int:
    """Micro-batches of a replica with so many sequences: `[micro …]` or one a stage, and none of them empty."""
    return max(1, min(service.options.micro or service.stages, sequences))


def micro_batch_sequences(service: Service, sequences: int) -> tuple[int, ...]:
    """Sequences of each micro-batch of a replica with so many sequences."""
    return split(sequences, micro_batch_count(service, sequences))


def sequences_per_rank(layout: Layout, sequences: int) -> Ranks:
    """Sequences of a micro-batch on each local rank of attention, shape (layout.size,): split by dp alone."""
    held = np.array(split(sequences, layout.dp), dtype=np.int64)
    return held[layout.coordinate(AxisKind.DP)]


def prompt_tokens(layout: Layout, sequences: npt.NDArray[np.float64], fresh: int) -> npt.NDArray[np.float64]:
    """Tokens that are computed of whole prompts on each attention rank that has so many sequences: cp cuts a prompt.

    Engines compute them in chunks of at most the workload's `chunk`.
    """
    return np.ceil(sequences * fresh / layout.cp)
