"""The record of what `dagc compare --format json` prints.

Data only; numbers are in SI units and US dollars.
"""

from __future__ import annotations

from typing import Any

from dagc.metrics import Direction
from dagc.report.record import Versioned, record


@record
class ComparedPlan:
    """One column. `title` tells the columns apart; `fits` is null where memory is undetermined.

    `requirements_met` is null where there are none, or one of them is undetermined; `undetermined` are their names.
    """

    title: str
    plan: str
    name: str
    strategy: str
    gpus: int
    fits: bool | None
    requirements_met: bool | None
    undetermined: list[str]


@record
class ComparedValue:
    """A figure of one plan. `difference` is value / value of the first plan - 1; null where one is undetermined or 0.

    `ok` is the verdict of the requirements on the figure, null where there are none. `is_best` marks every plan that
    has the best value, where not all have it.
    """

    value: float | None
    text: str
    difference: float | None
    ok: bool | None
    is_best: bool


@record
class ComparedFigure:
    """One line of the table; `better` says whether less or more of it is."""

    name: str
    title: str
    unit: str
    better: Direction
    values: list[ComparedValue]


INPUT = "an input of the plan"
"""The reason for a difference that is no decision of the strategy."""


@record
class Difference:
    """Something in which the plans differ: what each has, and what that does to its graph."""

    what: str
    values: list[str]
    why: str


@record
class Comparison(Versioned):
    """Plans side by side; lists of values are in the order of `plans`."""

    plans: list[ComparedPlan]
    figures: list[ComparedFigure]
    differences: list[Difference]
    diagnostics: list[dict[str, Any]]
