"""What a search looks for: the best plan by one objective among those that meet requirements, under one batch.

An objective is a score of which less is better. Of a plan or a bound with G GPUs, TTFT, TPOT and X output tokens a
second it is G / X, the GPU-seconds of a token, for tokens a second and GPU, and for cost, as every GPU has one price;
1 / X for throughput; and TTFT, TPOT or G itself.

Under requirements each service of a pair is judged by itself. With p requests a second that the prefill service yields
at most and d those of the decode service, a pair yields min(p, d) or fewer, so that each service alone has to reach
what is required of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from dagc.metrics import COST_OF_TOKENS, GPUS, THROUGHPUT, THROUGHPUT_PER_GPU, TPOT, TTFT, Metric
from dagc.plan.plan import Facts
from dagc.plan.workload import Per, Requirement
from dagc.search.bounds import Figures
from dagc.search.verdict import StrategyVerdict

ObjectiveName = Literal["throughput_per_gpu", "cost", "tpot", "ttft", "gpus", "throughput"]
OBJECTIVE_NAMES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)
"""What a search can be asked to make best, the default first."""

METRICS: Mapping[ObjectiveName, Metric] = {
    "throughput_per_gpu": THROUGHPUT_PER_GPU,
    "cost": COST_OF_TOKENS,
    "tpot": TPOT,
    "ttft": TTFT,
    "gpus": GPUS,
    "throughput": THROUGHPUT,
}

WORDS: Mapping[ObjectiveName, str] = {
    "throughput_per_gpu": "most output tokens per second and GPU",
    "cost": "lowest cost per output token",
    "tpot": "lowest TPOT",
    "ttft": "lowest TTFT",
    "gpus": "fewest GPUs",
    "throughput": "most output tokens per second",
}


class GoalLimit(NamedTuple):
    """A requirement, and the number that a bound may not pass."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The strictest limits on what bounds know, of plans of one number of GPUs; None where nothing is required.

    Seconds at most, requests a second at least, GPUs at most.
    """

    ttft: GoalLimit | None = None
    tpot: GoalLimit | None = None
    rate: GoalLimit | None = None
    gpus: GoalLimit | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective under requirements, which are those of `facts` of these indices, for so many sequences.

    The objective `miss` is how far the requirements of the indices `nearest` are missed, of which none need be met.
    """

    facts: Facts
    objective: ObjectiveName | Literal["miss"]
    required: tuple[int, ...]
    batch: int
    nearest: tuple[int, ...] = ()

    def score(self, gpus: Figures | float, ttft: Figures, tpot: Figures, throughput: Figures) -> Figures:
        """Of bounds on plans."""
        match self.objective:
            case "throughput_per_gpu" | "cost" | "throughput":
                amount = 1.0 if self.objective == "throughput" else gpus
                return np.divide(amount, throughput, out=np.full(throughput.shape, np.inf), where=throughput > 0)
            case "ttft":
                return ttft
            case "tpot":
                return tpot
            case "gpus":
                return np.broadcast_to(np.asarray(gpus, dtype=np.float64), ttft.shape)
            case "miss":
                return self.miss(int(gpus), ttft, tpot, throughput / self.facts.workload.output)

    def score_of(self, verdict: StrategyVerdict) -> float:
        """Of a plan that was priced."""
        if self.objective == "miss":
            return 1.0 + max((verdict.requirements[index].miss or 0.0 for index in self.nearest), default=0.0)
        gpus, ttft, tpot, throughput, _ = (np.array([one]) for one in verdict.vector)
        return float(self.score(gpus, ttft, tpot, -throughput)[0])

    def is_met_by(self, verdict: StrategyVerdict) -> bool:
        """Whether a plan fits and misses none of the requirements."""
        if verdict.code is not None or verdict.is_over:
            return False
        return not any(verdict.requirements[index].is_missed for index in self.required)

    def miss(self, gpus: int, ttft: Figures, tpot: Figures, rates: Figures) -> Figures:
        """1 and the largest miss of the nearest requirements at least; of services for one phase the other's is 0."""
        limits, zero = self._limits(self.nearest, gpus), np.zeros(rates.shape)
        misses = [zero]
        for limit, values in ((limits.ttft, ttft), (limits.tpot, tpot), (limits.gpus, zero + gpus)):
            misses += [values / limit.value - 1] if limit and limit.value > 0 else []
        misses += [1 - rates / limits.rate.value] if limits.rate and limits.rate.value > 0 else []
        return np.asarray(1.0 + np.maximum.reduce(misses))

    def limits(self, gpus: int) -> Limits:
        """What is required of plans of so many GPUs."""
        return self._limits(self.required, gpus)

    def _limits(self, indices: Sequence[int], gpus: int) -> Limits:
        found: dict[str, GoalLimit] = {}
        for index in indices:
            one = self.facts.requirements[index]
            known = _limit(self.facts, one, gpus)
            if known is not None:
                name, value = known
                before = found.get(name)
                sign = -1 if name == "rate" else 1
                if before is None or sign * value < sign * before.value:
                    found[name] = GoalLimit(one.title, value)
        return Limits(**found)

    def without(self, index: int) -> Goal:
        """The same without one requirement."""
        return replace(self, required=tuple(one for one in self.required if one != index))


def _limit(facts: Facts, one: Requirement, gpus: int) -> tuple[str, float] | None:
    """The figure that a requirement limits, and the number; None where bounds know nothing of it."""
    if one.metric in (TTFT, TPOT, GPUS):
        return (one.metric.name, one.figure.value) if one.is_ceiling else None
    if one.metric is not THROUGHPUT or one.comparison not in (">", ">="):
        return None
    workload, figure = facts.workload, one.figure
    tokens = {"output": workload.output, "input": workload.prompt}
    each = tokens.get(figure.kind, workload.prompt + workload.output)
    return "rate", figure.value / each * (gpus if figure.per is Per.GPU else 1)


def objective_of(requirement: Requirement) -> ObjectiveName | None:
    """The objective that misses a requirement least where it is best; None where bounds know nothing of it."""
    if requirement.metric is THROUGHPUT and not requirement.is_ceiling:
        return "throughput_per_gpu" if requirement.figure.per is Per.GPU else "throughput"
    known: dict[Metric, ObjectiveName] = {TTFT: "ttft", TPOT: "tpot", GPUS: "gpus"}
    return known.get(requirement.metric) if requirement.is_ceiling else None


SLACK = 1e-12
"""Requirements hold but for the last bits of the arithmetic (`dagc.results.quantity.satisfies`)."""


def exceeds(values: Figures, limit: GoalLimit | None) -> npt.NDArray[np.bool_]:
    """Which lower bounds are above a limit."""
    if limit is None:
        return np.zeros(values.shape, dtype=np.bool_)
    return np.asarray(values > limit.value * (1 + SLACK))


def falls_short(values: Figures, limit: GoalLimit | None) -> npt.NDArray[np.bool_]:
    """Which upper bounds are below a limit."""
    if limit is None:
        return np.zeros(values.shape, dtype=np.bool_)
    return np.asarray(values < limit.value * (1 - SLACK))
