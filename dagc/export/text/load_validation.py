"""Measured serving runs beside simulated ones as text."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.serving_pools import WorkerShape
from dagc.export.text.columns import columns
from dagc.results.load_validation import FIGURES, GroupErrors, LoadCase, LoadErrors

_TITLES = {
    "median_ttft": "TTFT p50",
    "p99_ttft": "TTFT p99",
    "median_tpot": "TPOT p50",
    "p99_tpot": "TPOT p99",
    "p99_itl": "ITL p99",
}


def render_load(errors: LoadErrors) -> str:
    """Median errors by group, where those of the worst are, what is not scored, then each load."""
    return "\n".join(_lines(errors)) + "\n"


def _lines(errors: LoadErrors) -> Iterator[str]:
    loads = "1 load" if len(errors.cases) == 1 else f"{len(errors.cases):,} loads"
    yield f"{loads} scored; median size of the error, and with its sign:"
    yield ""
    yield from columns([("group", "loads", *(_TITLES[one] for one in FIGURES)), *map(_group, errors.groups)])
    if errors.worst:
        yield ""
        worst = [
            (one.group, _TITLES[one.figure], f"{one.median_absolute_error:.1%}", one.cause) for one in errors.worst
        ]
        yield from columns([("worst groups", "figure", "error", "where it is"), *worst])
    if errors.dropped:
        yield ""
        rows = [(one.reason, f"{one.rows:,}", f"{one.loads:,}") for one in errors.dropped]
        yield from columns([("not scored", "rows", "loads without another row"), *rows])
    yield ""
    yield "measured -> predicted, ms"
    yield from columns([("load", "repeats", *(_TITLES[one] for one in FIGURES)), *map(_case, errors.cases)])


def _group(one: GroupErrors) -> tuple[str, ...]:
    cells = [
        f"{one.median_absolute_error[figure]:.1%} ({one.bias[figure]:+.0%})" if figure in one.bias else "-"
        for figure in FIGURES
    ]
    return (one.group, f"{one.loads:,}", *cells)


def _case(one: LoadCase) -> tuple[str, ...]:
    worker = str(WorkerShape(one.workers, one.tp, one.ep, one.attention_dp))
    pools = f"{worker} | {one.decode}" if one.decode else worker.removeprefix("1 x ")
    what = f"{one.hardware} {one.framework} {one.precision} {pools}, {one.prompt}/{one.output} x {one.concurrency}"
    return (what, f"{one.repeats:,}", *(_figure(one, figure) for figure in FIGURES))


def _figure(one: LoadCase, figure: str) -> str:
    error = one.error(figure)
    if error is None:
        return "-"
    return f"{one.measured[figure] * 1e3:,.0f} -> {one.predicted[figure] * 1e3:,.0f} {error:+.0%}"
