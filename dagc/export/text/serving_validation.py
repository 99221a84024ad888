"""Measured serving runs beside predictions as text: errors, order of plans, coverage of intervals."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.text import escape
from dagc.export.text.columns import columns
from dagc.results.coverage import GroupCoverage, IntervalCoverage
from dagc.results.plan_order import OrderTable, PlanOrder
from dagc.results.serving_validation import RunGroupErrors, ServingErrors


def render_serving(errors: ServingErrors) -> str:
    """All runs, those of a kind of strategy, rows that are not scored, then each group, the worst one last."""
    return "\n".join(_serving(errors)) + "\n"


def _serving(errors: ServingErrors) -> Iterator[str]:
    yield "TPOT, predicted / measured - 1: median and mean of its size, and bias; then with each group counted once"
    yield ""
    yield from columns([_ERRORS, *map(_errors, errors.totals)])
    yield ""
    yield from columns([("one node, by kind of strategy", *_ERRORS[1:]), *map(_errors, errors.kinds)])
    if errors.unscored:
        yield ""
        rows = [(escape(one.reason), f"{one.rows:,}") for one in errors.unscored]
        yield from columns([("not scored", "rows"), *rows])
    yield ""
    head = ("model, GPU and engine, the worst last", *_ERRORS[1:5])
    yield from columns([head, *(_errors(one)[:5] for one in errors.groups)])


_ERRORS = ("", "runs", "median", "mean", "bias", "groups", "median", "mean", "bias")


def _errors(one: RunGroupErrors) -> tuple[str, ...]:
    of_runs = _percent(one.median), _percent(one.mean), _signed(one.bias)
    of_groups = _percent(one.median_by_group), _percent(one.mean_by_group), _signed(one.bias_by_group)
    return (one.name, f"{one.runs:,}", *of_runs, f"{one.groups:,}", *of_groups)


def render_order(order: PlanOrder) -> str:
    """Shares of pairs in order by kind, and regret by limit: of all runs, then without those left out."""
    return "\n\n".join("\n".join(_order(table)) for table in order.tables) + "\n"


def _order(table: OrderTable) -> Iterator[str]:
    yield f"order of plans, {escape(table.runs)}: pairs that differ in one strategy, measured more than 10 % apart"
    head = ("differ in", "pairs", "in order", "groups", "each counted once", "worst")
    rows = [
        (one.kind, f"{one.pairs:,}", _percent(one.ordered), f"{one.groups:,}", _percent(one.by_group), one.worst)
        for one in table.shares
    ]
    yield from columns([head, *rows])
    yield ""
    yield "regret of choosing by prediction: lost of the highest measured rate of tokens a GPU under the limit"
    limits = [
        (
            "all limits" if one.limit_seconds is None else f"TPOT <= {one.limit_seconds * 1e3:g} ms",
            f"{one.choices:,}", _percent(one.regret), _percent(one.with_load), one.worst,
        )
        for one in table.regrets
    ]  # fmt: skip
    yield from columns([("limit", "choices", "of the strategy", "of strategy and load", "worst"), *limits])


def render_coverage(coverage: IntervalCoverage) -> str:
    """Coverage of both halves, by what is known, by model, GPU and engine; then the odds of pairs."""
    return "\n".join(_coverage(coverage)) + "\n"


def _coverage(coverage: IntervalCoverage) -> Iterator[str]:
    yield "share of measured TPOT inside of stated intervals, and the 95 % binomial band of it (* outside)"
    for title, groups in (
        ("halves of configurations, each judged by the other", coverage.halves),
        ("by what is known, the like of a run left out", coverage.known),
        ("by model, GPU and engine", coverage.groups),
    ):
        if not groups:
            continue
        yield ""
        yield from columns([(title, "runs", "50 %", "band", "80 %", "band", "high / low"), *map(_covered, groups)])
    if coverage.odds:
        yield ""
        rows = [
            (f"{one.above:.0%} to {one.most:.0%}", f"{one.pairs:,}", _percent(one.predicted), _percent(one.right))
            for one in coverage.odds
        ]
        yield from columns([("stated odds of an order, from pairs of other groups", "pairs", "mean", "right"), *rows])


_UNBOUNDED = 1e4
"""Ratio of the ends of an interval from which too few runs have set it."""


def _covered(one: GroupCoverage) -> tuple[str, ...]:
    cells = [
        cell
        for level in one.levels
        for cell in (
            f"{_percent(level.inside)}{'' if level.within else ' *'}",
            f"{level.band_low:.0%}-{level.band_high:.0%}",
        )
    ]
    return (one.name, f"{one.runs:,}", *cells, f"{one.width:.2f}" if one.width < _UNBOUNDED else "unbounded")


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _signed(value: float) -> str:
    return f"{value * 100:+.1f} %"
