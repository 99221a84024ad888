"""The record of what `dagc whatif --format json` prints.

Data only; numbers are in SI units and US dollars.
"""

from __future__ import annotations

from typing import Any, Literal

from dagc.metrics import Direction
from dagc.results.record import Versioned, record
from dagc.results.summary import FactsRecord, RequirementRecord

KindName = Literal["hardware", "workload", "strategy"]


@record
class MetricRecord:
    """A figure of the plan as it stands; `better` says whether less or more of it is."""

    name: str
    title: str
    unit: str
    better: Direction
    value: float | None
    text: str


@record
class Moved:
    """A figure after a change. `difference` is value / value before - 1; null where one is undetermined or 0."""

    name: str
    value: float | None
    text: str
    difference: float | None


@record
class VerdictRecord:
    """A requirement whose verdict a change turns over; null is undetermined."""

    name: str
    required: str
    before: bool | None
    after: bool | None


@record
class PhaseState:
    """A phase's metric (TTFT or TPOT) and what takes its time: shares of the critical path of its step on the GPUs,
    which sum to 1.

    `parts_seconds` are, for TPOT, that step and what lies between two tokens beside it, by name and in seconds a token,
    together `seconds`. `bound` is the largest of them, or what bounds the step where that is the largest.
    """

    seconds: float
    bound: str
    parts_seconds: dict[str, float]
    compute_share: float
    memory_share: float
    communication_share: float
    bubble_share: float


@record
class OperatorTime:
    """Seconds that an operator has on the critical path of the phase, before and after."""

    key: str
    before_seconds: float
    after_seconds: float


@record
class PhaseChange:
    """Why a phase is faster or slower: its shares, and the operators whose time on the path changed most."""

    phase: Literal["prefill", "decode"]
    before: PhaseState
    after: PhaseState
    operators: list[OperatorTime]


@record
class Effect:
    """What one change does. `strategy` is the changed text, null where the strategy stays; `fits` is after the change.

    `value` is what the plan has of the parameter, `change` what it becomes. `note` names what was changed along.
    """

    parameter: str
    title: str
    kind: KindName
    value: str
    change: str
    strategy: str | None
    gpus: int
    metrics: list[Moved]
    fits: bool | None
    verdicts: list[VerdictRecord]
    phases: list[PhaseChange]
    note: str


@record
class Refusal:
    """A change that cannot be. `code` is that of the diagnostic that refuses it, null where none does."""

    parameter: str
    title: str
    kind: KindName
    change: str
    code: str | None
    reason: str


@record
class Sensitivities:
    """One strategy: its figures, what each change does to them, and what could not be changed.

    `fits` is null where memory is undetermined; so are metrics without a value, for lack of what `missing` names.
    `facts` and `requirements` are those of the summary.
    """

    name: str
    strategy: str
    gpus: int
    fits: bool | None
    metrics: list[MetricRecord]
    effects: list[Effect]
    refusals: list[Refusal]
    missing: list[str]
    facts: FactsRecord
    requirements: list[RequirementRecord]


@record
class CrossingRecord:
    """A point at which another plan leads than one step before; null leads where both are equal.

    `tokens` is how many tokens enter the layers at once there: of a decode step, or of a prefill for TTFT. Values are
    those of the first plan and of the second, one step before and at the point.
    """

    at: int
    tokens: int
    leads: Literal["first", "second"] | None
    before: tuple[float, float]
    values: tuple[float, float]
    before_texts: tuple[str, str]
    texts: tuple[str, str]


@record
class BreakEven:
    """One figure of two plans over a range. `leads` is who leads at its low end.

    `is_monotone` says that the ratio of the two moves in one direction over all points that were priced.
    """

    metric: str
    title: str
    better: Direction
    leads: Literal["first", "second"] | None
    crossings: list[CrossingRecord]
    is_monotone: bool


@record
class Side:
    """One of two strategies. `full_from` is the lowest point that was priced and does not fit in memory.

    `refusals` hold the lowest point that each code refuses, as `change`.
    """

    strategy: str
    gpus: int
    full_from: int | None
    refusals: list[Refusal]


@record
class PlanComparison:
    """Two strategies that differ, over one quantity of the workload.

    `priced` are the points where both have a figure, `low` and `high` the range that was asked for.
    """

    sides: tuple[Side, Side]
    over: str
    low: int
    high: int
    priced: list[int]
    figures: list[BreakEven]


@record
class WhatIf(Versioned):
    """Everything that was asked: sensitivities by strategy, or break-even points by pair.

    `assumed` says in words which blocks the plan does not state and what stands for them; null where it states all.
    """

    assumed: str | None
    strategies: list[Sensitivities]
    duels: list[PlanComparison]
    diagnostics: list[dict[str, Any]]
