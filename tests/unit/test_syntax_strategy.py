"""Strategies become the tree that the grammar promises: what is inside what, and how tightly signs bind."""

from __future__ import annotations

import pytest

from dagc.degrees import AxisKind
from dagc.source import Source
from dagc.syntax.parser import parse
from dagc.syntax.printer import format_strategy
from dagc.syntax.tree import Axis, Fold, Pools, Quantity, Scope, ScopeKind, Strategy, Word


def strategy(text: str) -> Strategy:
    parsed = parse(Source("plan.moe", text))
    assert parsed.diagnostics == ()
    assert parsed.file is not None
    return parsed.file.strategies[0].body


def test_nesting_holds_a_fold() -> None:
    outer = strategy("pp 4 < ep 16 ; tp 2 >")
    assert isinstance(outer, Axis)
    assert (outer.kind, outer.degree) == (AxisKind.PP, 4)
    assert isinstance(outer.body, Fold)
    assert [(b.kind, b.degree) for b in outer.body.branches if isinstance(b, Axis)] == [
        (AxisKind.EP, 16),
        (AxisKind.TP, 2),
    ]


def test_pools_bind_weaker_than_folds() -> None:
    pools = strategy("ep 4 ; tp 2 | dp 3")
    assert isinstance(pools, Pools)
    assert [type(branch) for branch in pools.branches] == [Fold, Axis]


def test_parentheses_group_and_leave_no_trace() -> None:
    fold = strategy("(ep 4 | tp 2) ; (dp 3)")
    assert isinstance(fold, Fold)
    assert [type(branch) for branch in fold.branches] == [Pools, Axis]


def test_three_branches_stay_flat() -> None:
    fold = strategy("ep 4 ; tp 2 ; dp 3")
    assert isinstance(fold, Fold)
    assert len(fold.branches) == 3


def test_spans_are_what_a_message_underlines() -> None:
    outer = strategy("dp 2 < pp 4 [micro 8] < ep 16 > >")
    assert isinstance(outer, Axis)
    inner = outer.body
    assert isinstance(inner, Axis)
    assert outer.span.text == "dp 2"
    assert outer.outer.text == "dp 2 < pp 4 [micro 8] < ep 16 > >"
    assert inner.span.text == "pp 4"
    assert inner.outer.text == "pp 4 [micro 8] < ep 16 >"
    assert inner.options[0].span.text == "micro 8"
    assert inner.options[0].name_span.text == "micro"


def test_options_hold_values() -> None:
    axis = strategy("pp 4 [micro 8, layers 4 4 4 4]")
    assert isinstance(axis, Axis)
    assert [option.name for option in axis.options] == ["micro", "layers"]
    assert [v.value for v in axis.options[1].values if isinstance(v, Quantity)] == [4, 4, 4, 4]
    assert axis.body is None


def test_scope_with_a_device() -> None:
    scope = strategy("prefill [device h20] < tp 8 [sp] >")
    assert isinstance(scope, Scope)
    assert scope.kind is ScopeKind.PREFILL
    assert scope.options[0].values[0] == Word("h20", scope.options[0].values[0].span)
    assert isinstance(scope.body, Axis)
    assert scope.body.options[0].values == ()


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("((pp 4<(ep 16);tp 2>))", "pp 4 < ep 16 ; tp 2 >"),
        ("dp 2<pp 4[micro 8]<ep 16;tp 2>>", "dp 2 < pp 4 [micro 8] < ep 16 ; tp 2 > >"),
        ("(ep 4 ; tp 2) | dp 3", "ep 4 ; tp 2 | dp 3"),
        ("(ep 4 | tp 2) ; dp 3", "(ep 4 | tp 2) ; dp 3"),
        ("ep 4 ; (tp 2 ; dp 3)", "ep 4 ; (tp 2 ; dp 3)"),
        ("ep 0", "ep 0"),
        ("ep 999999999999", "ep 999999999999"),
        ("pp 1_0 [ layers  5   5 ,micro 2 ]", "pp 10 [layers 5 5, micro 2]"),
    ],
)
def test_canonical_text(written: str, canonical: str) -> None:
    assert format_strategy(strategy(written)) == canonical
