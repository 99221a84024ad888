"""The models of what `dagc compare --format json` prints: its published schema is generated from them.

Data only; numbers are in SI units and US dollars. `SCHEMA_VERSION` grows when a field goes or changes its meaning, not
when one is added.
"""

from __future__ import annotations

from typing import Any, Literal

from dagc.report.summary import Record

SCHEMA_VERSION = 1


class ComparedPlan(Record):
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


class ComparedValue(Record):
    """A figure of one plan. `difference` is value / value of the first plan - 1; null where one is undetermined or 0.

    `ok` is the verdict of the requirements on the figure, null where there are none. `is_best` marks every plan that
    has the best value, where not all have it.
    """

    value: float | None
    text: str
    difference: float | None
    ok: bool | None
    is_best: bool


class ComparedFigure(Record):
    """One line of the table; `better` says whether less or more of it is."""

    name: str
    title: str
    unit: str
    better: Literal["less", "more"]
    values: list[ComparedValue]


INPUT = "an input of the plan"
"""The reason for a difference that is no decision of the strategy."""


class Difference(Record):
    """Something in which the plans differ: what each has, and what that does to its graph."""

    what: str
    values: list[str]
    why: str


class Comparison(Record):
    """Plans side by side; lists of values are in the order of `plans`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    plans: list[ComparedPlan]
    figures: list[ComparedFigure]
    differences: list[Difference]
    diagnostics: list[dict[str, Any]]
