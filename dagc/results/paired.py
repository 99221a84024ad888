"""Which of two plans is faster, as a probability: by the errors of measured pairs of strategies.

Errors of two plans of one model on one GPU and engine mostly go in the same direction, so that a predicted ratio is
better than either prediction. The error of a pair is d = ln(predicted ratio) - ln(measured ratio), of the plan with the
larger degree of the kind to the other (`Pair`). With the predicted ratio r of two plans the second is the faster one
with P(d > ln r), over measured pairs that differ in the same kind, each group of model, GPU and engine counted once.
Where fewer than `FEWEST` groups have pairs of a kind their direction says little: d then counts with both signs, as it
does for plans that differ in something else, such as stages, which all pairs decide.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import log

from dagc.plan.plan import Plan
from dagc.results.intervals import FILE, path_of
from dagc.results.plan_order import KINDS, Degrees, Pair, degrees_of, kind_of

OTHER = "other"
"""The kind of any other difference."""

FEWEST = 3

STEPS = tuple(i / 40 for i in range(1, 40))
"""Levels of the quantiles of a distribution; a probability is never nearer to 0 or 1 than the first of them."""


@dataclass(frozen=True, slots=True)
class PairErrors:
    """Quantiles at `STEPS` of the errors of pairs of a kind."""

    kind: str
    pairs: int
    groups: int
    quantiles: tuple[float, ...]

    def probability(self, log_ratio: float) -> float:
        """That of the second plan to be the faster one, where ln(second / first) is predicted so."""
        above = bisect_left(self.quantiles, log_ratio)
        if above in (0, len(self.quantiles)):
            return 1 - STEPS[0] if above == 0 else STEPS[0]
        low, high = self.quantiles[above - 1 : above + 1]
        share = (log_ratio - low) / (high - low) if high > low else 0.5
        return 1 - (STEPS[above - 1] + share * (STEPS[above] - STEPS[above - 1]))


def error_of(pair: Pair) -> float:
    """ln(predicted ratio) - ln(measured ratio), of the second to the first."""
    predicted = log(pair.second.seconds / pair.first.seconds)
    return predicted - log(pair.second.run.tpot_seconds / pair.first.run.tpot_seconds)


def pair_errors(pairs: Iterable[Pair]) -> dict[str, PairErrors]:
    """Distributions by kind, and that of all pairs for other differences; no kind of which there is no pair."""
    found = list(pairs)
    by_kind = {kind: _errors(kind, [pair for pair in found if pair.kind == kind]) for kind in KINDS}
    known = {kind: errors for kind, errors in by_kind.items() if errors}
    every = _errors(OTHER, found)
    return {**known, OTHER: every} if every else {}


def _errors(kind: str, pairs: Sequence[Pair]) -> PairErrors | None:
    groups: dict[str, list[float]] = {}
    for pair in pairs:
        groups.setdefault(pair.first.run.group, []).append(error_of(pair))
    if not groups:
        return None
    signs = (1,) if kind != OTHER and len(groups) >= FEWEST else (1, -1)
    weighted = sorted((sign * d, 1 / len(found)) for found in groups.values() for d in found for sign in signs)
    return PairErrors(kind, len(pairs), len(groups), _quantiles(weighted))


def _quantiles(weighted: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """The smallest value up to which each step of the whole weight lies."""
    whole = sum(weight for _, weight in weighted)
    found: list[float] = []
    reached = 0.0
    for value, weight in weighted:
        reached += weight
        while len(found) < len(STEPS) and reached >= STEPS[len(found)] * whole * (1 - 1e-12):
            found.append(value)
    return tuple(found)


@cache
def packaged() -> Mapping[str, PairErrors]:
    """The distributions of the package, by kind."""
    rows = json.loads(FILE.read_text("utf-8"))["pairs"]
    return {row["kind"]: PairErrors(row["kind"], row["pairs"], row["groups"], tuple(row["quantiles"])) for row in rows}


def probability_faster(
    first: Plan, second: Plan, first_seconds: float, second_seconds: float
) -> tuple[float, PairErrors] | None:
    """The probability that the second plan has the lower TPOT, and what it is from.

    None where times are the same, or the plans are not of one model, device, engine and workload: pairs that differ in
    more were not measured.
    """
    if _asked(first) != _asked(second) or not packaged():
        return None
    if first_seconds == second_seconds:
        return None
    ratio, one, other = log(second_seconds / first_seconds), _degrees(first), _degrees(second)
    if one == other or one is None or other is None:
        errors = packaged()[OTHER]
        return errors.probability(ratio), errors
    errors = packaged().get(kind_of(one, other), packaged()[OTHER])
    return (errors.probability(ratio) if one < other else 1 - errors.probability(-ratio)), errors


def _asked(plan: Plan) -> tuple[object, ...]:
    """What two plans must have in common: device, engine, model, precision, lengths and load."""
    model, workload = plan.facts.model, plan.facts.workload
    lengths = workload.prompt, workload.output, workload.concurrency or workload.batch
    return *path_of(plan)[:2], model.weight_dtype, model.expert_dtype, *lengths


def _degrees(plan: Plan) -> Degrees | None:
    """Degrees of a plan of one replica and one stage on one pool of GPUs, as pairs were measured; None of others."""
    service, layout = plan.deployment.services[-1], plan.deployment.services[-1].attention_pool.attention
    is_plain = len(plan.deployment.services) == len(service.pools) == plan.deployment.replicas * service.replicas == 1
    if not is_plain or service.stages > 1 or layout is None or layout.cp > 1:
        return None
    experts = service.experts_pool.experts
    return degrees_of(layout.size, layout.dp, experts.ep if experts else 1)
