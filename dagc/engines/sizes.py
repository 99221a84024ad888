"""The degrees of one replica as plain numbers: what a strategy comes to, and what an engine's flags come to.

The common ground of strategies and engines: flags are written from `Sizes`, and read back to them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttentionDegrees:
    """How the ranks of one stage are cut for attention; the product is W, the ranks of a stage."""

    tp: int = 1
    cp: int = 1
    dp: int = 1

    @property
    def width(self) -> int:
        """W: ranks of a stage."""
        return self.tp * self.cp * self.dp


@dataclass(frozen=True, slots=True)
class ExpertDegrees:
    """How the same ranks are cut for the experts; the product is W too."""

    tp: int = 1
    ep: int = 1
    dp: int = 1

    @property
    def width(self) -> int:
        """W: ranks of a stage."""
        return self.tp * self.ep * self.dp


@dataclass(frozen=True, slots=True)
class Sizes:
    """One replica: `stages` × W ranks. `experts` is None where a model has none; `replicas` are separate copies."""

    attention: AttentionDegrees
    experts: ExpertDegrees | None
    stages: int = 1
    replicas: int = 1

    @property
    def gpus_per_replica(self) -> int:
        """Ranks of one replica, which is one instance of an engine."""
        return self.stages * self.attention.width

    @property
    def gpus(self) -> int:
        """Ranks of all replicas."""
        return self.replicas * self.gpus_per_replica
