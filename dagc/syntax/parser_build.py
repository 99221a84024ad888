"""Turns a parse without errors into the syntax tree.

Assumes a tree of the rules in `dagc.lark` without ERROR. Degrees of rules and terminals are those of the grammar:
an unknown one is a bug here.
"""

from __future__ import annotations

from typing import cast

import lark

from dagc.source import Source, Span
from dagc.syntax.tree import (
    Axis,
    AxisKind,
    Block,
    Entry,
    Fold,
    NamedStrategy,
    Option,
    PlanFile,
    Pools,
    Quantity,
    Scope,
    ScopeKind,
    Strategy,
    Value,
    Word,
)

Child = lark.Tree[lark.Token] | lark.Token


def build(source: Source, tree: lark.Tree[lark.Token], comments: tuple[Span, ...]) -> PlanFile:
    """The plan file of a whole parse."""
    builder = _Builder(source)
    statements = cast("list[lark.Tree[lark.Token]]", tree.children)
    blocks = tuple(builder.block(s) for s in statements if s.data == "block")
    strategies = tuple(builder.named(s) for s in statements if s.data != "block")
    return PlanFile(source, blocks, strategies, comments)


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source

    def span(self, first: lark.Token, last: lark.Token | None = None) -> Span:
        return self.source.span(first.start_pos or 0, (last or first).end_pos or 0)

    # Blocks

    def block(self, tree: lark.Tree[lark.Token]) -> Block:
        keyword, *rest = tree.children
        assert isinstance(keyword, lark.Token)
        values, body, end = self._values_and_body(rest)
        whole = self.span(keyword)
        for part in (*(v.span for v in values), end):
            whole = whole.to(part) if part else whole
        return Block(str(keyword), values, body, whole)

    def _values_and_body(
        self, children: list[Child]
    ) -> tuple[tuple[Value, ...], tuple[Entry, ...] | None, Span | None]:
        """Values, entries of the body, and where the body ends."""
        subtrees = [c for c in children if isinstance(c, lark.Tree)]
        body = next((t for t in subtrees if t.data == "body"), None)
        values = tuple(self.value(t) for t in subtrees if t.data != "body")
        if body is None:
            return values, None, None
        entries = tuple(self.entry(t) for t in body.children if isinstance(t, lark.Tree))
        return values, entries, self.span(cast("lark.Token", body.children[-1]))

    def entry(self, tree: lark.Tree[lark.Token]) -> Entry:
        name, *rest = tree.children
        assert isinstance(name, lark.Token)
        signs = {child.type: child for child in rest if isinstance(child, lark.Token)}
        comparison, percentile = signs.get("COMPARISON"), signs.get("PERCENTILE")
        values, body, _ = self._values_and_body(rest)
        end = values[-1].span if values else self.span(comparison or name)
        name_span = self.span(name)
        sign = None if comparison is None else str(comparison)
        word = None if percentile is None else Word(str(percentile), self.span(percentile))
        return Entry(str(name), name_span, sign, values, body, name_span.to(end), word)

    def value(self, tree: lark.Tree[lark.Token]) -> Value:
        first, *rest = cast("list[lark.Token]", tree.children)
        if tree.data == "word":
            quoted = first.type == "STRING"
            return Word(str(first)[1:-1] if quoted else str(first), self.span(first), quoted)
        number = _number(str(first))
        if not rest:
            return Quantity(number, None, self.span(first))
        return Quantity(number, " ".join(rest), self.span(first, rest[-1]), self.span(rest[0], rest[-1]))

    # Strategies

    def named(self, tree: lark.Tree[lark.Token]) -> NamedStrategy:
        body = self.strategy(tree.children[-1])
        if tree.data == "bare":
            return NamedStrategy("main", None, body, body.outer)
        keyword, name = cast("list[lark.Token]", tree.children[:2])
        return NamedStrategy(str(name), self.span(name), body, self.span(keyword).to(body.outer))

    def strategy(self, tree: Child) -> Strategy:
        assert isinstance(tree, lark.Tree)
        match tree.data:
            case "axis":
                return self._axis(tree)
            case "scope":
                return self._scope(tree)
            case "fold":
                branches = tuple(self.strategy(child) for child in tree.children)
                return Fold(branches, branches[0].outer.to(branches[-1].outer))
            case _:
                branches = tuple(self.strategy(child) for child in tree.children)
                return Pools(branches, branches[0].outer.to(branches[-1].outer))

    def _axis(self, tree: lark.Tree[lark.Token]) -> Axis:
        kind, degree = cast("list[lark.Token]", tree.children[:2])
        options, body, end = self._options_and_body(tree)
        span = self.span(kind, degree)
        return Axis(AxisKind(str(kind)), int(degree), options, body, span, span.to(end) if end else span)

    def _scope(self, tree: lark.Tree[lark.Token]) -> Scope:
        kind = cast("lark.Token", tree.children[0])
        options, body, end = self._options_and_body(tree)
        span = self.span(kind)
        return Scope(ScopeKind(str(kind)), options, body, span, span.to(end) if end else span)

    def _options_and_body(self, tree: lark.Tree[lark.Token]) -> tuple[tuple[Option, ...], Strategy | None, Span | None]:
        """Options, what is inside, and the span of the last bracket."""
        options: tuple[Option, ...] = ()
        body: Strategy | None = None
        end: Span | None = None
        for child in tree.children:
            if isinstance(child, lark.Token):
                end = self.span(child) if child.type == "RANGLE" else end
            elif child.data == "options":
                options = tuple(self._option(c) for c in child.children if isinstance(c, lark.Tree))
                end = self.span(cast("lark.Token", child.children[-1]))
            else:
                body = self.strategy(child)
        return options, body, end

    def _option(self, tree: lark.Tree[lark.Token]) -> Option:
        name = cast("lark.Token", tree.children[0])
        values, _, _ = self._values_and_body(tree.children[1:])
        name_span = self.span(name)
        return Option(str(name), values, name_span, name_span.to(values[-1].span) if values else name_span)


def _number(text: str) -> int | float:
    digits = text.replace("_", "")
    return float(digits) if any(c in digits for c in ".eE") else int(digits)
