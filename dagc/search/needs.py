"""Which requirements a bound misses already, and by how much at least.

Judged are those on figures that a bound has: `ttft`, `tpot` (`latency`), `throughput` and `gpus`, from the side on
which the bound lies. All others may be met as far as a bound knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dagc.metrics import GPUS, THROUGHPUT, TPOT, TTFT
from dagc.plan.workload import Per, Requirement, Workload
from dagc.report.quantity import meets
from dagc.search.bounds import Bound
from dagc.search.verdict import miss_of


@dataclass(frozen=True, slots=True)
class Miss:
    """The requirement that is missed most, and how far off it is at least."""

    name: str
    miss: float


@dataclass(frozen=True, slots=True)
class Needs:
    """The requirements of a search under one workload."""

    requirements: Sequence[Requirement]
    workload: Workload

    def missed(self, bound: Bound[float], gpus: float) -> Miss | None:
        """What no candidate of this bound can meet; None where there may be one that meets all."""
        worst: Miss | None = None
        for requirement in self.requirements:
            least = self._least(requirement, bound, gpus)
            if least is None or meets(least, requirement.comparison, requirement.figure.value):
                continue
            miss = miss_of(least, requirement.comparison, requirement.figure.value)
            if worst is None or miss > worst.miss:
                worst = Miss(requirement.name, miss)
        return worst

    def _least(self, requirement: Requirement, bound: Bound[float], gpus: float) -> float | None:
        """The figure at its best, where the requirement limits it from that side."""
        is_ceiling = requirement.comparison in ("<", "<=")
        if requirement.metric is GPUS:
            return gpus
        if requirement.metric is THROUGHPUT:
            return self._rate(requirement, bound, gpus) if requirement.comparison in (">", ">=") else None
        return {TTFT: bound.ttft, TPOT: bound.tpot}.get(requirement.metric) if is_ceiling else None

    def _rate(self, requirement: Requirement, bound: Bound[float], gpus: float) -> float:
        workload, figure = self.workload, requirement.figure
        each = {"output": workload.output, "input": workload.prompt}
        tokens = each.get(figure.kind, workload.prompt + workload.output)
        rate = bound.throughput / workload.output * tokens
        return rate / gpus if figure.per is Per.GPU else rate
