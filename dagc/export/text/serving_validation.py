"""Measured serving runs beside predictions as text: errors, order of plans."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.text.columns import columns
from dagc.results.plan_order import OrderTable, PlanOrder
from dagc.results.serving_validation import RunErrors, ServingErrors


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
        yield from columns([("not scored", "rows"), *((one.reason, f"{one.rows:,}") for one in errors.unscored)])
    yield ""
    head = ("model, GPU and engine, the worst last", *_ERRORS[1:5])
    yield from columns([head, *(_errors(one)[:5] for one in errors.groups)])


_ERRORS = ("", "runs", "median", "mean", "bias", "groups", "median", "mean", "bias")


def _errors(one: RunErrors) -> tuple[str, ...]:
    of_runs = _percent(one.median), _percent(one.mean), _signed(one.bias)
    of_groups = _percent(one.median_by_group), _percent(one.mean_by_group), _signed(one.bias_by_group)
    return (one.name, f"{one.runs:,}", *of_runs, f"{one.groups:,}", *of_groups)


def render_order(order: PlanOrder) -> str:
    """Shares of pairs in order by kind, and regret by limit: of all runs, then without those left out."""
    return "\n\n".join("\n".join(_order(table)) for table in order.tables) + "\n"


def _order(table: OrderTable) -> Iterator[str]:
    yield f"order of plans, {table.runs}: pairs that differ in one strategy, measured more than 10 % apart"
    head = ("differ in", "pairs", "in order", "groups", "each counted once", "least")
    rows = [
        (one.kind, f"{one.pairs:,}", _percent(one.ordered), f"{one.groups:,}", _percent(one.by_group), one.least)
        for one in table.shares
    ]
    yield from columns([head, *rows])
    yield ""
    yield "regret of choosing by prediction: lost of the highest measured rate of tokens a GPU under the limit"
    limits = [
        (
            "all limits" if one.limit_seconds is None else f"TPOT <= {one.limit_seconds * 1e3:g} ms",
            f"{one.choices:,}", _percent(one.regret), _percent(one.with_load),
        )
        for one in table.regrets
    ]  # fmt: skip
    yield from columns([("limit", "choices", "of the strategy", "of strategy and load"), *limits])


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _signed(value: float) -> str:
    return f"{value * 100:+.1f} %"
