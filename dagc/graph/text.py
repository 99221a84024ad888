"""One canonical text of a graph: the form that golden tests read.

A line for each team, segment and node, in program order, integers in full and loads as one number or as a range with
its sum. Two graphs of the same text do the same work in the same order on the same ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from dagc.graph.graph import INPUT, Graph, Node, PhaseGraph, Segment, Team
from dagc.ops.communication import Communication
from dagc.ops.load import Load
from dagc.plan.layout import Ranks


def to_text(graph: Graph) -> str:
    """The whole graph, phase after phase; ends with a line break."""
    lines = [f"graph replicas={graph.replicas}"]
    for phase in graph.classes:
        lines += _phase(phase)
    return "\n".join(lines) + "\n"


def _phase(phase: PhaseGraph) -> Iterator[str]:
    yield f"phase {phase.service} {phase.phase}{_replicas(phase)}"
    sizes = ", ".join(f"{len(tuple(run))} x {phase.sequences[size]}" for size, run in groupby(phase.micro_batches))
    yield f"  micro-batches {sizes} sequences"
    for index, team in enumerate(phase.teams):
        yield f"  team {index}: {_team(team)}"
    for size, programs in enumerate(phase.programs):
        for program in programs:
            teams = ",".join(str(team) for team in program.teams)
            parts = "; ".join(_segment(phase, segment) for segment in program.segments)
            yield f"  program size {size} stage {program.stage} teams {teams}: {parts}"
    for template in phase.templates:
        outputs = " ".join(_source(i) for i in template.outputs)
        yield f"  template {template.key} -> {outputs}"
        for index, node in enumerate(template.nodes):
            yield f"    %{index} = {_node(node)}"


def _replicas(phase: PhaseGraph) -> str:
    """The replicas that the phase represents, where these are more than the first."""
    return "" if phase.replicas == (0,) else f" replicas {_ranges(np.array(phase.replicas, dtype=np.int64))}"


def _team(team: Team) -> str:
    slowed = "" if team.slowdown.max() == 1 else f" slowdown {_slowdown(team)}"
    return f"{team.pool} stage {team.stage} ranks {_ranges(team.ranks)}{slowed}"


def _slowdown(team: Team) -> str:
    factors = np.broadcast_to(team.slowdown, team.ranks.shape)
    return " ".join(f"{team.ranks[i]}:{factors[i]:g}" for i in np.flatnonzero(factors != 1))


def _ranges(ranks: Ranks) -> str:
    """`0-7,16-23` for ranks in order."""
    runs: list[list[int]] = []
    for rank in (int(r) for r in ranks):
        if runs and runs[-1][1] + 1 == rank:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _segment(phase: PhaseGraph, segment: Segment) -> str:
    layers = "" if segment.first_layer is None else f" from layer {segment.first_layer}"
    return f"{phase.templates[segment.template].key} x {segment.count}{layers}"


def _node(node: Node) -> str:
    words = [f"{node.key} {node.op.name}({', '.join(_source(i) for i in node.inputs)})"]
    if node.after:
        words.append("after " + " ".join(_source(i) for i in node.after))
    words.append(f": {node.output}")
    if node.team:
        words.append(f"team={node.team}")
    if node.flops.any():
        words.append(f"flops={_load(node.flops)}")
    if node.memory_bytes.any():
        words.append(f"memory={_load(node.memory_bytes)}")
    words += [f"{name}={size}" for name, size in node.shape]
    if node.communication:
        words.append(_communication(node.communication))
    if node.fused_into is not None:
        words.append(f"in %{node.fused_into}")
    return " ".join(words)


def _source(index: int) -> str:
    if index > INPUT:
        return f"%{index}"
    return "input" if index == INPUT else f"input.{INPUT - index}"


def _load(load: Load) -> str:
    if load.shape == (1,):
        return f"{load[0]:.10g}"
    if load.ndim == 2:
        return f"{load.shape[0]} copies {load.min():.10g}..{load.max():.10g}(sum {load.sum():.10g})"
    return f"{load.min():.10g}..{load.max():.10g}(sum {load.sum():.10g})"


def _communication(communication: Communication) -> str:
    groups = communication.groups
    axes = "+".join(communication.axes)
    partition = f"{groups.members.shape[0]} x {groups.size}"
    words = [f"{communication.pattern}[{axes}] {_load(communication.bytes)} B {partition}"]
    words.append(f"nodes={int(groups.nodes.min())}..{int(groups.nodes.max())} local={int(groups.local.max())}")
    if communication.matching:
        partner = "" if communication.partner is None else f" %{communication.partner}"
        words.append(f"{communication.matching}{partner}")
    return " ".join(words)
