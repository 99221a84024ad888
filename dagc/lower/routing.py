"""Which experts tokens are sent to: loads by rank.

Every token chooses `top` of `count` experts; loads are expectations and may be fractions of a token. What chance puts
on the fullest rank beyond them is for `imbalance` to say. Under uniform
routing each choice is as likely as any other, and redundant experts are further slots that share the load. Under
skewed routing each slot of each layer has a chance of its own, a rank's tokens are those of the slots
that it holds, and loads are by copy of the segment too, shape (copies, width). Slots lie on ep ranks evenly, the
remainder one each on the first: experts in order, and redundant slots dealt out one to a rank.

What a rank sends to the dispatch is the same under any routing: it holds its own tokens, and each goes to `top`
experts. That a popular expert's rank receives more is in the work of its experts, and in the bytes of a receive where
experts have a pool of their own; an all-to-all is priced by what its members send.

With T distinct tokens on W ranks an attention rank holds T·copies/W of them, and a slot of an expert group handles
T·tp/W, tp being the experts'. The larger one decides what is gathered and where.

Popularity follows Zipf's law: the expert of rank i in popularity has weight 1 / i^s. A token chooses `top` different
experts, so what counts is the chance that an expert is among them. These chances are proportional to the weights and
sum to `top`; an expert whose chance would pass 1 is chosen by every token, and the others share what is left in
proportion (inclusion probabilities proportional to size: Särndal, Swensson, Wretman, "Model Assisted Survey Sampling",
1992, section 3.6.2). With s = 0 every chance is top / count.

Which expert has which rank is drawn for each layer: the permutation of numpy's `Generator(PCG64(SeedSequence))` on
(seed, layer), the layer counted from 0 over the whole model. So it depends on nothing but seed and layer: not on
stages, replicas or the phase. Where a draw puts popular experts on one rank, that rank has more to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dagc.catalog.model import Experts
from dagc.degrees import AxisKind
from dagc.lower.imbalance import fullest_hit, fullest_rows, uneven_hit, uneven_rows
from dagc.ops.load import Load, compress_uniform
from dagc.plan.layout import Layout, Ranks
from dagc.plan.splits import experts_per_rank, split
from dagc.plan.workload import Workload


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """Loads of one MoE layer by rank, in tokens.

    `held`: in the attention's layout, by `copies` ranks each. `sent`: what a rank brings to the dispatch, on the
    attention's side. `group`: the distinct tokens of the rank's expert group. `received`: pairs of token and expert
    that an experts' rank computes, shared with the others of its tp. `hit`: distinct experts of those it holds that
    have any token, an expectation. `fullest` are both where each rank has as many times more as chance gives the
    fullest of its group. The last three may be by copy.
    """

    held: Load
    copies: int
    sent: Load
    group: Load
    received: Load
    hit: Load
    fullest: tuple[Load, Load]


def expected_distinct(count: float, chosen: float, tokens: Load) -> Load:
    """Distinct experts hit by `tokens` that each choose `chosen` of `count` at random.

    count·(1 - (1 - chosen/count)^tokens): the expected occupancy of `count` boxes, each missed by a token with
    probability 1 - chosen/count.
    """
    return count * (1.0 - (1.0 - min(1.0, chosen / count)) ** tokens)


@dataclass(frozen=True, slots=True, eq=False)
class ExpertChoice:
    """How tokens choose among the expert slots of an MoE layer.

    `chances` of each slot, shape (copies, slots), are those of the layers of one segment; None under uniform routing.
    """

    experts: Experts
    redundant: int
    chances: Chances | None = None


def route_inside(held: Load, copies: int, choice: ExpertChoice, layout: Layout) -> Routing:
    """Loads where experts share the attention's ranks; `held` by attention rank."""
    if held.shape[0] == 1:
        sent, group = held * (layout.tp / copies), held * (layout.ep * layout.tp / copies)
        return Routing(held, copies, sent, group, *_computed(group, choice, layout))
    whole = np.broadcast_to(held, (layout.size,))
    sent = _mean_over(whole, layout, (AxisKind.TP,)) * (layout.tp / copies)
    group = _mean_over(whole, layout, (AxisKind.EP, AxisKind.TP)) * (layout.ep * layout.tp / copies)
    group = compress_uniform(group)
    return Routing(held, copies, compress_uniform(sent), group, *_computed(group, choice, layout))


def route_across(held: Load, copies: int, distinct: float, choice: ExpertChoice, layout: Layout) -> Routing:
    """Loads where experts have their own ranks, over whose replicas (dp) the `distinct` tokens are spread evenly.

    Each distinct token is sent once for each choice, and to every rank that holds a shard of the chosen expert.
    """
    group = np.array([distinct / layout.dp])
    return Routing(held, copies, held / copies * layout.tp, group, *_computed(group, choice, layout))


def _computed(group: Load, choice: ExpertChoice, layout: Layout) -> tuple[Load, Load, tuple[Load, Load]]:
    """Token-expert pairs and distinct experts of each rank, given the distinct tokens of its expert group."""
    if choice.chances is not None:
        return _computed_skewed(group, choice.chances, choice.redundant, layout)
    count, top = choice.experts.count + choice.redundant, choice.experts.top
    each, rest = divmod(count, layout.ep)
    slots = (
        compress_uniform(experts_per_rank(layout, choice.experts.count, choice.redundant)) if rest else np.array([each])
    )
    share = slots / count
    rows, distinct = group * top * share, expected_distinct(count, top, group)
    fullest = fullest_rows(rows, layout.ep, top, count)
    hit = fullest_hit(slots, distinct / count, fullest, layout.ep)
    return (
        compress_uniform(rows),
        compress_uniform(distinct * share),
        (compress_uniform(fullest), compress_uniform(hit)),
    )


def _computed_skewed(
    group: Load, chances: Chances, redundant: int, layout: Layout
) -> tuple[Load, Load, tuple[Load, Load]]:
    """The same from each slot's chance: sums over the slots of a rank of T·chance and of 1 - (1 - chance)^T.

    T is the distinct tokens of the rank's expert group, of which there are few different numbers.
    """
    held = np.array(split(chances.shape[1], layout.ep))
    first = np.cumsum(held) - held
    place = layout.coordinate(AxisKind.EP)
    by_rank = np.minimum(chances[:, np.argsort(slot_ranks(held, redundant), kind="stable")], 1.0)
    shares = np.add.reduceat(by_rank, first, axis=1)
    tokens, which = np.unique(group, return_inverse=True)
    misses = (1.0 - by_rank) ** tokens[:, None, None]
    hit = np.add.reduceat(1.0 - misses, first, axis=2)
    of_group = np.broadcast_to(which, (layout.size,))
    rows, distinct = group * shares[:, place], hit[of_group, :, place].T
    if layout.ep == 1:
        return compress_uniform(rows), compress_uniform(distinct), (compress_uniform(rows), compress_uniform(distinct))
    # A token has at most one row for a slot; rows of different slots of a rank are as good as independent.
    spread = np.add.reduceat(by_rank * (1.0 - by_rank), first, axis=1)
    more = uneven_rows(tokens[:, None, None] * shares, tokens[:, None, None] * spread, layout.ep)
    others = uneven_hit(hit, np.add.reduceat(misses * (1.0 - misses), first, axis=2))
    fullest = rows * more[of_group, :, 0].T, np.minimum(distinct * others[of_group, :, 0].T, held[place])
    return (
        compress_uniform(rows),
        compress_uniform(distinct),
        (compress_uniform(fullest[0]), compress_uniform(fullest[1])),
    )


def slot_ranks(held: Ranks, redundant: int) -> Ranks:
    """The ep rank of each slot: redundant ones are dealt out from the first rank on, experts fill the rest in order."""
    ranks = np.arange(len(held))
    dealt = np.arange(redundant) % len(held)
    return np.concatenate([np.repeat(ranks, held - np.bincount(dealt, minlength=len(held))), dealt])


def _mean_over(load: Load, layout: Layout, axes: tuple[AxisKind, ...]) -> Load:
    """Mean over each group of ranks that differ in `axes`, at every rank of it."""
    members = layout.groups(axes)
    mean = np.empty(layout.size)
    mean[members] = load[members].mean(axis=1, keepdims=True)
    return mean


Chances = npt.NDArray[np.float64]
"""The chance that a token chooses an expert; each row sums to `top`."""

_STEEPEST = 1e6
"""A larger exponent changes nothing: each token then chooses the `top` most popular experts."""


def chances_by_popularity(count: int, top: int, exponent: float) -> Chances:
    """Chances of the experts from the most popular one on, shape (count,). In logarithms, so that none underflows."""
    weights = -min(exponent, _STEEPEST) * np.log(np.arange(1, count + 1))
    rest = np.logaddexp.accumulate(weights[::-1])[::-1]
    left = top - np.arange(count)
    first = int(np.argmax(left * np.exp(weights - rest) <= 1.0))
    chances = left[first] * np.exp(np.minimum(weights - rest[first], 0.0))
    chances[:first] = 1.0
    return chances


@lru_cache(maxsize=8)
def popularity_ranks(count: int, layers: int, seed: int) -> Ranks:
    """The expert of each popularity rank in each layer of the model, shape (layers, count); read-only."""
    drawn = np.stack([
        np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, layer)))).permutation(count)
        for layer in range(layers)
    ]).astype(np.int64)  # fmt: skip
    drawn.setflags(write=False)
    return drawn


def slot_chances(experts: Experts, redundant: int, order: Ranks, workload: Workload) -> Chances:
    """The chance of each expert slot, for layers whose popularity ranks are `order`, shape (layers, slots).

    Slot i holds expert i; redundant slots come after them and hold the most popular experts in turn, from the most
    popular one on (which rank has a slot is for `routing` to say). The copies of an expert share its tokens equally.
    """
    chances = chances_by_popularity(experts.count, experts.top, workload.zipf_exponent)
    taken = np.arange(redundant) % experts.count
    copies = 1 + np.bincount(taken, minlength=experts.count)
    by_rank = chances / copies
    whole = np.empty(order.shape)
    np.put_along_axis(whole, order, np.broadcast_to(by_rank, order.shape), axis=1)
    return np.concatenate([whole, np.broadcast_to(by_rank[taken], (len(order), redundant))], axis=1)
