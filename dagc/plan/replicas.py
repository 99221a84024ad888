"""Replicas of a service that behave alike, so that one of them is computed for all.

A class is identified by its sequences and its slowed ranks; that replicas may lie differently on nodes is not looked
at. Vectorised over replicas and ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.plan.splits import replica_sequences


@dataclass(frozen=True, slots=True)
class ReplicaClass:
    """Replicas of a service that hold as many sequences, on ranks that are slowed in the same way."""

    sequences: int
    replicas: tuple[int, ...]


def replica_classes(plan: Plan, service: Service) -> tuple[ReplicaClass, ...]:
    """The classes of a service's replicas, in the order of their first; a replica without sequences is in none.

    Where the batch leaves every replica without, the first one counts, with one sequence. The first has most and the
    last has least, so that where these are alike all are, as long as no rank is slowed.
    """
    deployment = plan.deployment
    held = np.array(replica_sequences(deployment, service, plan.facts.workload.batch), dtype=np.int64)
    held[0] = max(1, held[0])
    if not plan.facts.cluster.slowed and held[0] == held[-1]:
        return (ReplicaClass(int(held[0]), tuple(range(held.size))),)
    traits = held[:, None]
    if plan.facts.cluster.slowed:
        traits = np.column_stack([held, plan.slowdowns(deployment.all_ranks(service))])
    rows = np.ascontiguousarray(traits).view(np.dtype((np.void, traits.itemsize * traits.shape[1])))[:, 0]
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    members = (np.flatnonzero(which == which[i]) for i in np.sort(first))
    found = (ReplicaClass(int(held[same[0]]), tuple(int(i) for i in same)) for same in members)
    return tuple(one for one in found if one.sequences)
