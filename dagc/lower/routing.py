"""How tokens meet experts: loads by rank under uniform routing.

Every token chooses `top` of `count` experts, each choice as likely as any other, so loads are expectations and may be
fractions of a token. Redundant experts are further slots that share the load; slots lie on ep ranks evenly, the
remainder one each on the first.

With T distinct tokens on W ranks an attention rank holds T·copies/W of them, and a slot of an expert group handles
T·tp/W, tp being the experts'. Whichever is larger tells what is gathered and where.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dagc.catalog.model import Experts
from dagc.graph.graph import Load
from dagc.lower.builder import evenly
from dagc.plan.layout import Layout
from dagc.plan.splits import experts_per_rank
from dagc.syntax.tree import AxisKind


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """Loads of one MoE layer by rank, in tokens.

    `held`: in the attention's layout, by `copies` ranks each. `sent`: what a rank brings to the dispatch, on the
    attention's side. `received`: pairs of token and expert that an experts' rank computes, shared with the others of
    its tp. `hit`: distinct experts of those it holds that have any token, an expectation.
    """

    held: Load
    copies: int
    sent: Load
    received: Load
    hit: Load


def expected_distinct(count: float, chosen: float, tokens: Load) -> Load:
    """Distinct experts hit by `tokens` that each choose `chosen` of `count` at random.

    count·(1 - (1 - chosen/count)^tokens): the expected occupancy of `count` boxes, each missed by a token with
    probability 1 - chosen/count.
    """
    return count * (1.0 - (1.0 - min(1.0, chosen / count)) ** tokens)


def expert_slots(experts: Experts, layout: Layout, redundant: int) -> Load:
    """Expert slots of each rank of the experts' layout, shape (width,)."""
    return experts_per_rank(layout, experts.count, redundant).astype(np.float64)


def route_inside(held: Load, copies: int, experts: Experts, layout: Layout, redundant: int) -> Routing:
    """Loads where experts share the attention's ranks; `held` by attention rank."""
    whole = np.broadcast_to(held, (layout.size,))
    sent = _mean_over(whole, layout, (AxisKind.TP,)) * (layout.tp / copies)
    group = _mean_over(whole, layout, (AxisKind.EP, AxisKind.TP)) * (layout.ep * layout.tp / copies)
    received, hit = _computed(group, experts, layout, redundant)
    return Routing(held, copies, evenly(sent), received, hit)


def route_across(held: Load, copies: int, distinct: float, experts: Experts, layout: Layout, redundant: int) -> Routing:
    """Loads where experts have their own ranks, over whose replicas (dp) the `distinct` tokens are spread evenly.

    Each distinct token is sent once for each choice, and to every rank that holds a shard of the chosen expert.
    """
    group = np.full(layout.size, distinct / layout.dp)
    received, hit = _computed(group, experts, layout, redundant)
    return Routing(held, copies, held / copies * layout.tp, received, hit)


def _computed(group: Load, experts: Experts, layout: Layout, redundant: int) -> tuple[Load, Load]:
    """Token-expert pairs and distinct experts of each rank, given the distinct tokens of its expert group."""
    slots = expert_slots(experts, layout, redundant)
    count = experts.count + redundant
    share = slots / count
    return evenly(group * experts.top * share), evenly(expected_distinct(count, experts.top, group) * share)


def _mean_over(load: Load, layout: Layout, axes: tuple[AxisKind, ...]) -> Load:
    """Mean over each group of ranks that differ in `axes`, at every rank of it."""
    members = layout.groups(axes)
    mean = np.empty(layout.size)
    mean[members] = load[members].mean(axis=1, keepdims=True)
    return mean
