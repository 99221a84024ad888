"""What a plan says of the rules it is checked by: levels of advice, and the limits that advice is given beyond.

The table below is the whole list of limits. A rule asks for its own by name, `plan.facts.rules.limit("bubble")`; the
block `rules` of a plan replaces the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dagc.diag.levels import Levels
from dagc.source import Span
from dagc.units import Dimension


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of advice: the word that sets it, the default in SI units (a share in 0 to 1), and what it bounds."""

    name: str
    default: float
    dimension: Dimension
    meaning: str


LIMITS: Mapping[str, Limit] = MappingProxyType({
    limit.name: limit
    for limit in (
        Limit("memory", 0.9, Dimension.SHARE, "share of a device's memory that may be filled"),
        Limit("bubble", 0.2, Dimension.SHARE, "share of a phase that a stage may idle"),
    )
})  # fmt: skip
"""Every limit, by name."""


@dataclass(frozen=True, slots=True)
class RuleLevels:
    """Levels of advice, limits that were written in SI units, and where they were."""

    levels: Levels = field(default_factory=Levels)
    written: Mapping[str, float] = field(default_factory=dict[str, float])
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])

    def limit(self, name: str) -> float:
        """A limit of the table, as written or by default."""
        return self.written.get(name, LIMITS[name].default)
