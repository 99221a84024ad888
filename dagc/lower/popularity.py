"""How often each expert of each layer is chosen under skewed routing.

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

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dagc.catalog.model import Experts
from dagc.plan.layout import Ranks
from dagc.plan.workload import Workload

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
