"""The phases of a deployment with the GPUs of every replica: which global ranks each team is.

A phase graph represents a class of replicas and names the ranks of the first. Here every replica, and every set of
replicas that hands the cache over together, has its own. Replicas without a sequence do nothing and are not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np

from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced, first_rank
from dagc.plan.deployment import Service
from dagc.plan.layout import Ranks
from dagc.plan.plan import Plan
from dagc.schedule.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPhase:
    """One phase of one replica: its timeline, and the global ranks of each team of the phase."""

    timeline: Timeline
    ranks: tuple[Ranks, ...]


def placed_phases(traced: Traced) -> dict[str, tuple[PlacedPhase, ...]]:
    """All replicas of each phase, by the name of the phase, in the order of time."""
    found: dict[str, tuple[PlacedPhase, ...]] = {}
    for name, shown in zip(phase_names(traced.graph), traced.timelines, strict=True):
        classes = (shown, *(other for other in traced.others if _alike(other, shown)))
        found[name] = tuple(PlacedPhase(line, ranks) for line in classes for ranks in _replicas(traced.plan, line))
    return found


def _alike(one: Timeline, other: Timeline) -> bool:
    a, b = one.priced.graph, other.priced.graph
    return (a.phase, a.service) == (b.phase, b.service)


def _replicas(plan: Plan, timeline: Timeline) -> Iterator[tuple[Ranks, ...]]:
    graph = timeline.priced.graph
    if graph.service == "handover":
        yield from _joint_replicas(plan)
        return
    own = first_rank(plan, graph, graph.replicas[0])
    for replica in graph.replicas:
        move = first_rank(plan, graph, replica) - own
        yield tuple(team.ranks + move for team in graph.teams)


def _joint_replicas(plan: Plan) -> Iterator[tuple[Ranks, ...]]:
    """Stages of prefill, then of decode, of each set of replicas that exchange the cache."""
    prefill, decode = plan.deployment.services
    joint = gcd(prefill.replicas, decode.replicas)
    for number in range(plan.deployment.replicas * joint):
        yield (*_stages(plan, prefill, number, joint), *_stages(plan, decode, number, joint))


def _stages(plan: Plan, service: Service, number: int, joint: int) -> Iterator[Ranks]:
    each = service.replicas // joint
    for stage in range(service.stages):
        held = range(number * each, (number + 1) * each)
        deployment, pool = plan.deployment, service.attention_pool
        yield np.concatenate([deployment.global_ranks(service, pool, stage, replica) for replica in held])
