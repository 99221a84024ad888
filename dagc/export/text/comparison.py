"""A comparison as text for a person: the plans, a line a figure, and where they differ and why.

`*` marks the better value, a tick or a cross the verdict of the requirements; a share behind a value is its difference
from the first plan. It computes nothing that is not in the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagc.export.text.columns import columns
from dagc.results.comparison import (
    INPUT,
    ComparedFigure,
    ComparedPlan,
    ComparedValue,
    Comparison,
    Difference,
    FasterPlan,
)
from dagc.results.paired import OTHER
from dagc.units import format_gpus

OK = {True: " ✓", False: " ✗", None: ""}
_FITS = {True: "fits", False: "does not fit", None: "memory undetermined"}
_MET = {True: ", meets every requirement", False: ", misses a requirement", None: ""}


def render_comparison(comparison: Comparison) -> str:
    """The comparison as lines, the last one ended."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    yield from (_plan(plan) for plan in comparison.plans)
    yield ""
    head = ["", *(plan.title for plan in comparison.plans)]
    yield from columns([head, *(_figure(figure) for figure in comparison.figures)])
    yield ""
    yield "* best   % relative to the first" if len(comparison.plans) > 1 else ""
    yield from map(faster_text, comparison.faster)
    yield from _differences(comparison.differences)


def faster_text(found: FasterPlan) -> str:
    """`a has a lower TPOT than b: 85 % (155 measured pairs that differ in tp degree)`."""
    differ = "" if found.kind == OTHER else f" that differ in {found.kind}"
    chance = f"{found.probability * 100:.0f} % ({found.pairs:,} measured pairs{differ})"
    return f"{found.faster} has a lower TPOT than {found.slower}: {chance}"


def _plan(plan: ComparedPlan) -> str:
    verdict = f"{_FITS[plan.fits]}{_MET[plan.requirements_met]}{_open(plan)}"
    return f"{plan.title}: {plan.strategy}   {format_gpus(plan.gpus)}, {verdict}"


def _open(plan: ComparedPlan) -> str:
    names = " and ".join(f"`{name}`" for name in plan.undetermined)
    return f", {names} undetermined" if names else ""


def _figure(figure: ComparedFigure) -> list[str]:
    first, *others = figure.values
    return [figure.title, f"{_value(first)}", *(f"{_value(one)}{_change(one)}" for one in others)]


def _value(value: ComparedValue) -> str:
    return f"{'* ' if value.is_best else '  '}{value.text}{OK[value.ok]}"


def _change(value: ComparedValue) -> str:
    found = change_text(value)
    return f"  ({found})" if found else ""


def change_text(value: ComparedValue) -> str:
    """`+29.1 %` against the first plan, `same`, or nothing where one is undetermined."""
    if value.difference is None:
        return ""
    share = float(f"{value.difference * 100:.3g}")
    return "same" if share == 0 else f"{share:+,.0f} %" if abs(share) >= 1000 else f"{share:+.3g} %"


def _differences(found: Sequence[Difference]) -> Iterator[str]:
    yield ""
    if not found:
        yield "no differences"
        return
    inputs = [one for one in found if one.why == INPUT]
    if inputs:
        yield "inputs that differ"
        width = max(len(one.what) for one in inputs)
        yield from (f"  {one.what:{width}}  {'  →  '.join(one.values)}" for one in inputs)
    decisions = [one for one in found if one.why != INPUT]
    if inputs and decisions:
        yield ""
    if decisions:
        yield "differences"
    for one in decisions:
        yield f"  {one.what}: {one.why}"
        if one.what.endswith(" messages"):
            yield from (f"    {value}" for value in one.values)
        else:
            yield f"    {'  →  '.join(one.values)}"
