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
        Limit("unused_memory", 0.1, Dimension.SHARE, "share of a device's memory that the fullest GPU fills at least"),
        Limit("load", 0.5, Dimension.SHARE, "load at which a required time should hold, with the wait that it brings"),
        Limit("stage_layers", 4, Dimension.COUNT, "layers that a stage has at least"),
        Limit("expert_columns", 256, Dimension.COUNT, "columns of an expert that a GPU holds at least"),
        Limit("expert_tokens", 1, Dimension.COUNT, "tokens that a decode step brings to an expert at least"),
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
