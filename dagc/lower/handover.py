"""The KV-cache transfer from the prefill service to the decode service.

Where the services have different numbers of replicas, whole sets of replicas stand against each other: with 4 for
prefill and 6 for decode, 2 replicas of the one hand over to 3 of the other, and a team is one stage of all of them.
A prefill stage sends, to each decode stage that has layers in common with it, the prompts' cache of those layers:
one message a rank of equal size, in whole as many bytes as the decode ranks keep (a head or latent that several of
them keep is sent to each). The layers' caches go at the end, none during prefill.

The transfer of one request's cache is the same between one group of attention on each side: the ranks that hold a
sequence, tp × cp of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from dagc.catalog.cache import sequence_bytes, state_bytes
from dagc.catalog.model import ModelShapes
from dagc.degrees import AxisKind
from dagc.graph.graph import Dim, PhaseGraph, Segment, StageProgram, Team, Tensor
from dagc.lower.builder import TemplateBuilder
from dagc.lower.topology import Placement, place
from dagc.ops.communication import Matching
from dagc.ops.load import Load
from dagc.ops.message import Receive, Send
from dagc.plan.deployment import Phase, Service
from dagc.plan.layout import Layout
from dagc.plan.plan import Plan
from dagc.plan.splits import fullest_replica, stage_layers
from dagc.source import Span


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One service of the KV-cache transfer: how many of its replicas take part, its teams, and each stage's layers."""

    service: Service
    teams: tuple[Team, ...]
    layers: tuple[range, ...]


def lower_handover(plan: Plan, shapes: ModelShapes) -> PhaseGraph:
    """The phase between prefill and decode: one program for each prefill stage, with the decode stages it feeds."""
    prefill, decode = plan.deployment.services
    joint = gcd(prefill.replicas, decode.replicas)
    source = _side(plan, prefill, prefill.replicas // joint, shapes)
    target = _side(plan, decode, decode.replicas // joint, shapes)
    sequences = fullest_replica(plan.deployment, prefill, plan.facts.workload.batch) * (prefill.replicas // joint)
    return _between(plan, shapes, source, target, sequences)


def lower_transfer(plan: Plan) -> PhaseGraph | None:
    """The same for one request, from the ranks that prefilled it to those that decode it.

    None for a static batch, which is handed over whole, and where the phases share their GPUs.
    """
    shapes = plan.facts.model.shapes()
    if shapes is None or plan.facts.workload.concurrency is None or len(plan.deployment.services) == 1:
        return None
    source, target = (_one_group(_side(plan, service, 1, shapes)) for service in plan.deployment.services)
    return _between(plan, shapes, source, target, 1)


def _one_group(side: _Side) -> _Side:
    """The first of the groups of ranks that hold a sequence together."""
    is_first = _layout(side.service).coordinate(AxisKind.DP) == 0
    return replace(side, teams=tuple(replace(team, ranks=team.ranks[is_first]) for team in side.teams))


def _between(plan: Plan, shapes: ModelShapes, source: _Side, target: _Side, sequences: int) -> PhaseGraph:
    """The cache of so many sequences goes from one side to the other."""
    prefill = source.service
    layer_bytes = _layer_bytes(shapes, _layout(target.service).tp, plan.facts.workload.prompt) * sequences
    teams = source.teams + target.teams
    places = tuple(place(team.ranks, plan.facts.cluster.gpus_per_node) for team in teams)
    programs: list[StageProgram] = []
    builders: list[TemplateBuilder] = []
    for stage, layers in enumerate(source.layers):
        shared = [(i, _common(layers, taken)) for i, taken in enumerate(target.layers) if _common(layers, taken)]
        used = (stage, *(len(source.teams) + i for i, _ in shared))
        messages = tuple(float(layer_bytes[common.start : common.stop].sum()) for _, common in shared)
        builders.append(_template(f"handover.{stage}", tuple(places[i] for i in used), messages, shapes, prefill.span))
        programs.append(StageProgram(stage, used, (Segment(stage, 1, None),)))
    templates = tuple(builder.template() for builder in builders)
    return PhaseGraph(Phase.BOTH, "handover", teams, templates, (tuple(programs),), (0,), (sequences,))


def _side(plan: Plan, service: Service, replicas: int, shapes: ModelShapes) -> _Side:
    pool = service.attention_pool
    ranks = [
        np.concatenate([plan.deployment.global_ranks(service, pool, stage, replica) for replica in range(replicas)])
        for stage in range(service.stages)
    ]
    ends = np.cumsum([0, *stage_layers(service, shapes.layers)])
    layers = tuple(range(int(ends[i]), int(ends[i + 1])) for i in range(service.stages))
    return _Side(service, tuple(Team(pool.name, i, held) for i, held in enumerate(ranks)), layers)


def _common(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _layout(service: Service) -> Layout:
    layout = service.attention_pool.attention
    if layout is None:
        raise ValueError("the first pool of a service computes attention")
    return layout


def _layer_bytes(shapes: ModelShapes, tp: int, prompt: int) -> Load:
    """Bytes of one sequence's cache and state in each layer, over all tp decode ranks that keep a part of it."""
    each = {
        kind: tp * (sequence_bytes(shapes, kind, prompt, tp) + state_bytes(shapes, kind, tp))
        for kind in set(shapes.layer_kinds())
    }
    return np.array([each[kind] for kind in shapes.layer_kinds()])


def _template(
    key: str, places: tuple[Placement, ...], messages: tuple[float, ...], shapes: ModelShapes, span: Span
) -> TemplateBuilder:
    """Sends of one prefill stage, each with the receive of a decode stage; team 0 sends."""
    builder = TemplateBuilder(key, span)
    for team, message in enumerate(messages, start=1):
        suffix = "" if len(messages) == 1 else f".{team}"
        sent, taken = (message / places[i].width for i in (0, team))
        send = Send((AxisKind.DP,), places[0].peers(places[team]), np.array([sent]))
        builder.add(f"kv.send{suffix}", send, _cache(sent, shapes), inputs=())
        groups = places[team].peers(places[0])
        receive = Receive((AxisKind.DP,), groups, np.array([taken]), matching=Matching.TEMPLATE, partner=builder.last)
        builder.add(f"kv.receive{suffix}", receive, _cache(taken, shapes), inputs=(), team=team)
    return builder


def _cache(payload: float, shapes: ModelShapes) -> Tensor:
    """So many bytes of cache, as elements."""
    return Tensor(shapes.kv_dtype, (Dim("s", int(np.ceil(payload / shapes.kv_dtype.bytes))),))
