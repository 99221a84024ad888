"""Parallel degrees: the axes of the language, the degrees of one domain, and the parallelism of one deployment.

At the ground of all folders: plans, engines, the search, flat notations and results count in these types.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AxisKind(StrEnum):
    """What an axis splits: requests (dp), layers (pp), experts (ep), matrices (tp), the sequence (cp)."""

    DP = "dp"
    PP = "pp"
    EP = "ep"
    TP = "tp"
    CP = "cp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees:
    """How the ranks of one stage are divided for one domain, by axis.

    Attention has no ep and experts have no cp; a degree that a domain has not is 1.
    """

    tp: int = 1
    cp: int = 1
    ep: int = 1
    dp: int = 1

    @property
    def width(self) -> int:
        """W: ranks of the stage, the product of all degrees."""
        return self.tp * self.cp * self.ep * self.dp


@dataclass(frozen=True, slots=True)
class Parallelism:
    """Degrees of a deployment of one pool: `replicas` separate copies of `stages` × W ranks.

    `experts` divides the same W ranks as `attention`; None where the model has no experts.
    """

    attention: Degrees
    experts: Degrees | None
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
