"""A fit of factors to serving runs as text."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.text import escape
from dagc.export.text.columns import columns
from dagc.results.serving_fit import ErrorSizes, FactorRecord, ServingFit
from dagc.units import format_seconds

_SHOWN = 5
"""Runs whose errors are shown, the largest first."""

_LITTLE = 0.25
"""Share of what was unknown of a factor below which the runs say little of it."""


def render_fit(found: ServingFit) -> str:
    """Errors before and after, factors, and what they leave."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: ServingFit) -> Iterator[str]:
    count = "1 run" if len(found.runs) == 1 else f"{len(found.runs):,} runs"
    yield f"{found.device}: factors of {count}"
    yield ""
    rows = [_errors("as published", found.before)]
    rows += [_errors("on runs left out of the fit", found.judged)] if found.judged else []
    rows += [_errors("on the runs of the fit", found.after)]
    yield from columns([("error of TPOT", "median", "mean", "largest"), *rows])
    yield ""
    if not found.strength:
        yield "No factor helps with runs left out: all stay 1. The runs may be of different versions or settings."
    else:
        shown = [one for one in found.factors if one.share or "/" not in one.work]
        yield from columns([("work", "factor", "likely range", "share of the time", ""), *map(_factor, shown)])
    yield ""
    worst = sorted(found.runs, key=lambda one: -abs(one.after))[:_SHOWN]
    yield f"largest errors that are left, {len(worst)} of {len(found.runs):,} runs"
    head = ("run", "measured", "before", "after")
    cells = [
        (escape(one.run), format_seconds(one.measured_seconds), f"{one.before:+.1%}", f"{one.after:+.1%}")
        for one in worst
    ]
    yield from columns([head, *cells])
    if found.judged is None:
        yield "One run leaves nothing to judge the factors by: add others."
    elif found.strength and found.judged.median >= found.before.median:
        yield "Factors of these runs do not help with others: the runs may be of different versions or settings."


def _errors(title: str, sizes: ErrorSizes) -> tuple[str, ...]:
    return title, f"{sizes.median:.1%}", f"{sizes.mean:.1%}", f"{sizes.largest:.1%}"


def _factor(one: FactorRecord) -> tuple[str, ...]:
    if not one.share:
        return one.work, "1", "", "0%", "not in these runs"
    little = "the runs say little of it" if one.determined < _LITTLE else ""
    return one.work, f"{one.factor:.2f}", f"{one.low:.2f} to {one.high:.2f}", f"{one.share:.0%}", little
