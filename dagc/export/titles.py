"""Words for the parts of a graph, the same in every export: phases, teams, ranks, layers, loads.

Turns nouns into short text and small numbers; decides no layout and writes no file.
"""

from __future__ import annotations

import re

import numpy as np

from dagc.graph.graph import Graph, Node, Segment, Template
from dagc.graph.priced import PICOSECONDS
from dagc.ops.attention_core import AttentionCore
from dagc.ops.gemm import Router
from dagc.ops.load import Load
from dagc.ops.recurrence import Recurrence
from dagc.plan.layout import Ranks, ranges_text
from dagc.units import format_seconds


def phase_names(graph: Graph) -> tuple[str, ...]:
    """Names of `graph.phases`, in order: `prefill`, `handover` where there is one, `decode`."""
    middle = ("handover",) if graph.handover is not None else ()
    return ("prefill", *middle, "decode")


def rank_text(ranks: Ranks, noun: str = "rank") -> str:
    """`rank 3`, `ranks 0-31`, `ranks 0-1, 8-9`; a long list of gaps ends in its count."""
    if ranks.size == 1:
        return f"{noun} {int(ranks[0])}"
    shown, is_whole = ranges_text(ranks)
    return f"{noun}s {shown}" if is_whole else f"{noun}s {shown}, … ({ranks.size} in all)"


def time_text(picoseconds: float) -> str:
    """A time for people."""
    return format_seconds(picoseconds / PICOSECONDS)


def span_text(noun: str, first: int, last: int) -> str:
    """`stage 2`, `layers 3–15`."""
    return f"{noun} {first}" if first == last else f"{noun}s {first}–{last}"


def template_name(template: Template) -> str:
    """The template's key without the number that distinguishes variants of one kind: `moe` for `moe.2`."""
    return re.sub(r"\.\d+$", "", template.key)


def layer_kind(template: Template) -> str:
    """`MoE`, `dense` or `MoE (window 128)` for a layer, else the template's name as words."""
    name = template_name(template)
    if not any(isinstance(node.op, _OF_LAYERS) for node in template.nodes):
        return _words(name)
    block, *mixer = name.split(".")
    details = ", ".join(_words(re.sub(r"(?<=[a-z])(?=\d+$)", " ", word)) for word in mixer)
    return ("MoE" if block == "moe" else block) + (f" ({details})" if details else "")


_OF_LAYERS = (Router, AttentionCore, Recurrence)
"""Operators that only layers have."""


def segment_title(template: Template, segment: Segment) -> str:
    """`MoE layers 3–15, ×13`, `dense layer 0`, `head`."""
    if segment.first_layer is None:
        return layer_kind(template) if segment.count == 1 else f"{layer_kind(template)}, ×{segment.count}"
    layers = span_text("layer", segment.first_layer, segment.first_layer + segment.count - 1)
    times = f", ×{segment.count}" if segment.count > 1 else ""
    return f"{layer_kind(template)} {layers}{times}"


def shape_text(node: Node) -> str:
    """`m=4096 n=2048 k=7168`; empty where the operator has no shape of interest."""
    return " ".join(f"{letter}={size}" for letter, size in node.shape)


def group_size(node: Node) -> int:
    """Ranks that exchange data with each other; 1 for what communicates with no group."""
    return node.communication.groups.size if node.communication else 1


def moved_bytes(node: Node) -> Load:
    """Bytes by rank: the message of a communication, else traffic with the device's memory."""
    return node.communication.bytes if node.communication else node.memory_bytes


def total(load: Load, width: int) -> float:
    """Sum over the ranks of a team; the mean of the layers where these differ."""
    return float(np.broadcast_to(load, (*load.shape[:-1], width)).sum(axis=-1).mean())


def team_of(teams: tuple[int, ...], node: Node) -> int:
    """Index in the phase of the team that runs a node of a program over these teams."""
    return teams[node.team]


def _words(key: str) -> str:
    return key.replace("_", " ").replace(".", " ")
