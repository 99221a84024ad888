"""What was found out about a plan's requirements and claims, as data.

A `Verdict` holds one comparison: a stated figure against what decides it. One claim can be compared with several
things, each a verdict of its own `basis`; `ok` is None where nothing decides. The verbs are in `requirements`,
`claims` and `consistency`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from dagc.plan.workload import Claim, Figure, Requirement
from dagc.results.memory import MemoryOfPools
from dagc.results.metrics import Metrics

if TYPE_CHECKING:
    from dagc.results.load import SimulatedLoad

_CEILINGS = ("<", "<=", "=")


class Basis(StrEnum):
    """What a claim is compared with."""

    STRUCTURE = "structure"
    """What the strategy and the stated facts alone say: exact."""
    MODEL = "model"
    """What memory and timeline say: as good as the cost model."""
    CLAIMS = "claims"
    """The other claims about the same strategy."""
    REQUIREMENT = "requirement"
    """The requirement of the same name."""
    MARGIN = "margin"
    """The claimed ratio to the requirement."""
    DIGITS = "digits"
    """Its own digits: a figure without a significant one says nothing."""


@dataclass(frozen=True, slots=True)
class Actual:
    """The right figure, in the unit of what it is compared with; None where undetermined.

    `reason` is the arithmetic, or names what is missing. With `unless_missed` the right figure is `value` or more, and
    this is the reason where such a bound decides nothing.
    """

    value: float | None
    unit: str
    text: str | None
    reason: str
    unless_missed: str = ""

    @property
    def is_lower_bound(self) -> bool:
        """Whether the right figure may be more."""
        return bool(self.unless_missed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim against one basis. `claimed` is the claim as written; `actual` what it ought to be.

    `requirement` is set where the basis is a requirement or a margin to one.
    """

    claim: Claim
    basis: Basis
    claimed: str
    actual: Actual
    ok: bool | None
    requirement: Requirement | None = None

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.claim.name


@dataclass(frozen=True, slots=True)
class RequirementVerdict:
    """A requirement against what the deployment does.

    `is_within_error`: its 80 % interval holds times on both sides of the limit.
    """

    requirement: Requirement
    required: str
    actual: Actual
    ok: bool | None
    is_within_error: bool = False

    @property
    def name(self) -> str:
        """What is limited, as written: `ttft p99`."""
        return self.requirement.title


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything that the priced rules and the summary need to know. Memory needs
    the model's shapes, times need rates of device and links too; `missing_…` name those that were not stated.
    `admitted` is how many requests run at once where the caches hold fewer than are in flight, else None.
    `load` has figures of simulated requests, None for a static batch. `varied_tpot` is the seconds of TPOT if outputs
    vary, None where it is no other than that of `metrics`.
    """

    memory: MemoryOfPools | None
    metrics: Metrics | None
    missing_shapes: tuple[str, ...]
    missing_rates: tuple[str, ...]
    requirements: tuple[RequirementVerdict, ...]
    claims: tuple[Verdict, ...]
    admitted: int | None = None
    load: SimulatedLoad | None = None
    varied_tpot: float | None = None


def all_met(verdicts: Iterable[bool | None]) -> bool | None:
    """Whether all hold; None where there are none, or where one is undetermined and none fails."""
    judged = list(verdicts)
    if False in judged:
        return False
    return None if None in judged or not judged else True


def decided(actual: Actual, comparison: str, ok: bool | None, claimed: float) -> tuple[Actual, bool | None]:
    """What a figure and its verdict come to: a lower bound decides that a ceiling is missed, and nothing else."""
    if not actual.is_lower_bound or actual.value is None:
        return actual, ok
    if ok is False and comparison in _CEILINGS and actual.value > claimed:
        return replace(actual, text=f"at least {actual.text}"), False
    return replace(actual, value=None, text=None, reason=actual.unless_missed), None


def written(comparison: str, figure: Figure) -> str:
    """A stated figure as written: `<= 10 s`, or `128` where it is claimed exactly."""
    return figure.text if comparison == "=" else f"{comparison} {figure.text}"
