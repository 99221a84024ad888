"""Prediction intervals: how far measured times lie from predicted ones, by what is known of a plan's like.

A residual is u = ln(measured / predicted) / spread, where spread is the error that the formulas of the plan's operators
lead to expect (`dagc.results.metrics`): what is priced by a roofline or beyond measurements has a larger one. Runs are
known by a path: GPU and engine, model, then precision and degrees. Residuals of the longest known beginning of a plan's
path say where those of the plan lie (`shift`) and how far they scatter (`scale`), each drawn towards that of the
shorter path as if `STRENGTH` (and `SCALE_STRENGTH`) more configurations were like that one. The interval of a level is

    predicted · exp(spread · (shift + scale · q))    for q from the lower to the upper quantile,

and that of 80 % is stretched to hold the prediction, beside which it is printed. The quantiles are conformal ones
(Papadopoulos et al. 2002; Lei et al. 2018): of what (u - shift) / scale was for measured runs whose like had been left
out in the same way (`dagc.fit.intervals`): their own configuration, all of their strategy, of their model, or of their
GPU and engine. They cover the stated share of runs that are exchangeable with those. Runs with separate pools are too
few for a shift. A single step (TTFT of an idle server, a static batch) has no measured serving runs: its quantiles are
those of measured static batches. `measured/intervals.json` has the figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dagc import catalog
from dagc.results.record import record

if TYPE_CHECKING:
    from dagc.plan.layout import Layout
    from dagc.plan.plan import Plan

FILE = Path(catalog.__file__).parent / "measured" / "intervals.json"

Group = Literal[
    "new GPU or engine",
    "new model",
    "new strategy",
    "known configuration",
    "separate pools",
    "static batch",
    "static batch, one GPU",
]
"""What is known of a plan's like."""

BY_DEPTH: tuple[Group, ...] = ("new GPU or engine", "new model", "new strategy", "known configuration")
"""The group of a plan by how many parts of its path are known."""

LEVELS = (0.5, 0.8)

STRENGTH, SCALE_STRENGTH = 8.0, 4.0
"""Configurations that a shorter path counts for, in shift and in scale. On held-out halves 4, 8 and 16 cover alike for
the shift; for the scale 4 leaves fewer groups out of their band than 2 and 8 do."""

_FARTHEST = 5.0
"""An interval ends at e^5 of the prediction, so that it can be printed."""

LikePath = tuple[str, ...]
"""What a plan is like: GPU and engine, model, strategy."""


@record
class Interval:
    """The stated interval of a time in seconds: 50 % and 80 % of runs like it lie inside.

    `group` says what is known of its like, `runs` how many measured runs set the quantiles.
    """

    group: Group
    runs: int
    low_80: float
    low_50: float
    high_50: float
    high_80: float

    def bounds(self, level: float) -> tuple[float, float]:
        """The interval of one of `LEVELS`."""
        return (self.low_50, self.high_50) if level == LEVELS[0] else (self.low_80, self.high_80)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of scores by level, lower and upper, and of how many runs."""

    runs: int
    bounds: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Location:
    """Where the residuals of known runs lie, and how far they scatter."""

    shift: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class IntervalTable:
    """Quantiles by group, and locations by path."""

    groups: Mapping[Group, Quantiles]
    known: Mapping[LikePath, Location]

    def interval(self, seconds: float, spread: float, path: LikePath, group: Group | None = None) -> Interval:
        """That of a predicted time; `group` where the path does not decide it, which then has no shift."""
        depth = max((n for n in range(len(path) + 1) if path[:n] in self.known), default=0)
        place = Location() if group else self.known.get(path[:depth], Location())
        found = group or BY_DEPTH[depth]
        (low_50, high_50), (low_80, high_80) = (
            (_factor(spread, place, low), _factor(spread, place, high)) for low, high in self.groups[found].bounds
        )
        return Interval(
            group=found,
            runs=self.groups[found].runs,
            low_80=seconds * min(low_80, 1.0),
            low_50=seconds * low_50,
            high_50=seconds * high_50,
            high_80=seconds * max(high_80, 1.0),
        )


def _factor(spread: float, place: Location, quantile: float) -> float:
    return exp(min(max(spread * (place.shift + place.scale * quantile), -_FARTHEST), _FARTHEST))


def conformal_bounds(scores: Sequence[float], level: float) -> tuple[float, float]:
    """Bounds that hold the next of exchangeable scores with at least this probability; infinite where they are too few.

    Each side misses at most half of the rest: of n scores the k-th smallest is passed with a probability of at most
    k / (n + 1).
    """
    ordered = sorted(scores)
    rank = int((1 - level) / 2 * (len(ordered) + 1) + 1e-9)
    return (ordered[rank - 1], ordered[-rank]) if rank else (-inf, inf)


@cache
def packaged() -> IntervalTable:
    """The table of the package."""
    data = json.loads(FILE.read_text("utf-8"))
    groups: dict[Group, Quantiles] = {
        row["group"]: Quantiles(row["runs"], (tuple(row["50"]), tuple(row["80"]))) for row in data["groups"]
    }
    known = {tuple(row["path"]): Location(row["shift"], row["scale"]) for row in data["known"]}
    return IntervalTable(groups, known)


def interval_of(plan: Plan, seconds: float, spread: float, is_decode: bool = True) -> Interval:
    """The interval of a plan's TPOT, or of its prefill."""
    if not is_decode or plan.facts.workload.concurrency is None:
        group: Group | None = "static batch, one GPU" if plan.deployment.gpus == 1 else "static batch"
    else:
        group = "separate pools" if len(plan.deployment.services) > 1 else None
    return packaged().interval(seconds, spread, path_of(plan), group)


def path_of(plan: Plan) -> LikePath:
    """GPU and engine, the shapes of the model, and precision with the degrees of one replica."""
    service, model, engine = plan.deployment.services[-1], plan.facts.model, plan.facts.engine
    attention, experts = service.attention_pool.attention, service.experts_pool.experts
    return (
        f"{plan.device_of(service.experts_pool).name} {engine.name if engine else 'no engine'}",
        f"{model.layers} x {model.hidden}, {model.expert_count} experts",
        f"{model.expert_dtype or model.weight_dtype} pp {service.stages}{_degrees(attention)} |{_degrees(experts)}",
    )


def _degrees(layout: Layout | None) -> str:
    """` tp 8 dp 2`: the degrees above 1."""
    degrees = (("tp", layout.tp), ("cp", layout.cp), ("ep", layout.ep), ("dp", layout.dp)) if layout else ()
    return "".join(f" {axis} {degree}" for axis, degree in degrees if degree > 1)
