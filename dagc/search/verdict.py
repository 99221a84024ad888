"""What was found out about a candidate, as data that travels between processes and files."""

from __future__ import annotations

from dataclasses import dataclass

from dagc import metrics

OBJECTIVES = tuple(one.name for one in metrics.OBJECTIVES)
"""Names of the metrics of a front."""

MORE = frozenset(one.name for one in metrics.OBJECTIVES if one.better == "more")
"""Objectives of which more is better."""

Vector = tuple[float, ...]
"""The objectives in their order, turned so that less is better; 0 for one that no candidate has."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A requirement of the search against one candidate; `miss` is how far off it is, relative to what is required.

    0 where it is met, None where nothing decides because load is not simulated: then it is not known to be missed.
    """

    name: str
    actual: float | None
    miss: float | None

    @property
    def is_missed(self) -> bool:
        """Whether the candidate is none of those that are recommended."""
        return bool(self.miss)


@dataclass(frozen=True, slots=True)
class StrategyVerdict:
    """One candidate: refused by the rule of a code, or its figures by name.

    One that does not fit has a `memory_share` above 1, and no figures.
    """

    code: str | None
    memory_share: float | None = None
    figures: tuple[tuple[str, float | None], ...] = ()
    requirements: tuple[Judged, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it does not fit."""
        return self.memory_share is not None and self.memory_share > 1

    @property
    def miss(self) -> float:
        """The largest miss of a requirement; 0 where all are met."""
        return max((one.miss or 0.0 for one in self.requirements), default=0.0)

    @property
    def vector(self) -> Vector:
        """The objectives."""
        known = dict(self.figures)
        return as_vector({name: known.get(name) or 0.0 for name in OBJECTIVES})


def as_vector(figures: dict[str, float]) -> Vector:
    """Objectives by name as a vector of which less is better."""
    return tuple(-figures[name] if name in MORE else figures[name] for name in OBJECTIVES)


def miss_of(actual: float, comparison: str, required: float) -> float:
    """How far a figure is from what is required of it, as a share of that.

    0.2 for 60 ms where 50 ms is the most, 0.49 for 51 tokens/s where 100 is the least.
    """
    if required == 0:
        return 0.0 if actual == 0 or comparison in (">", ">=") else abs(actual)
    over = actual / required - 1
    match comparison:
        case "<" | "<=":
            return max(over, 0.0)
        case ">" | ">=":
            return max(-over, 0.0)
        case _:
            return abs(over)
