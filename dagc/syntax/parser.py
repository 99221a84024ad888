"""Turns text into the syntax tree, or into diagnostics: every syntax error of the text in one run.

Three passes: the lexer cuts the text (`parser_grammar`), roles are given and brackets paired (`structure`), and the
LALR parser takes the tokens one by one (here). Where it cannot take one, they are read again by `parser_recovery`,
which reports what is wrong and goes on after it.

The whole tree is made only where no syntax error was found; else `readable` holds the statements without one, so that
they can be judged too. Unknown units leave a tree: their text stays in the quantity.
"""

# Lark leaves some of its parameters without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise
from typing import cast

import lark
from lark.parsers.lalr_interactive_parser import InteractiveParser

from dagc.diag.diagnostic import Diagnostic, Family
from dagc.source import Source
from dagc.syntax import errors
from dagc.syntax.parser_build import build
from dagc.syntax.parser_grammar import grammar, lark_token, lex
from dagc.syntax.structure import structure
from dagc.syntax.tree import Block, NamedStrategy, PlanFile, Unread
from dagc.syntax.vocabulary import STATEMENT_TOKENS, Token

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|[\ud800-\udfff]|[\ufffd-\uffff]")
"""Control characters, halves of surrogate pairs, and the mark of bytes which are no UTF-8."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parse. `file` is None when a syntax error was found; `readable` is then what has none."""

    file: PlanFile | None
    diagnostics: tuple[Diagnostic, ...]
    readable: PlanFile | None = None


def parse(source: Source) -> Parsed:
    """Parse a whole plan file."""
    return _parse(source, None)


def parse_fragment(keyword: str, source: Source) -> tuple[Block | None, tuple[Diagnostic, ...]]:
    """Parse what would follow a keyword: `deepseek-v3 { layers 4 }`, `h100-sxm x 64`, `batch 8 prompt 1024`."""
    parsed = _parse(source, keyword)
    if parsed.file is None:
        return None, parsed.diagnostics
    first, *others = sorted((*parsed.file.blocks, *parsed.file.strategies), key=lambda s: s.span.start)
    if others or not isinstance(first, Block):
        return None, (*parsed.diagnostics, errors.more_than_one((others or [first])[0].span))
    return first, parsed.diagnostics


def _parse(source: Source, keyword: str | None) -> Parsed:
    if control := _NO_TEXT.search(source.text):
        return Parsed(None, (errors.not_text(source, control.start()),))
    tokens, comments = lex(source)
    if len(tokens) == 1 and keyword is None:
        return Parsed(None, (errors.empty(source),))
    structured = structure(source, tokens, keyword)
    diagnostics = list(structured.diagnostics)
    tree, lacking = None, frozenset[int]()
    if structured.tokens:
        tree, unexpected = _read(source, structured.tokens)
        reported = {d.span for d in diagnostics}
        diagnostics += [d for d in unexpected if d.span not in reported]
        lacking = frozenset(d.span.start for d in unexpected if d.span)
    diagnostics.sort(key=lambda d: d.span.start if d.span else 0)
    wrong = [d.span.start for d in diagnostics if d.span and d.code.family is Family.SYNTAX]
    if tree is None or wrong:
        return Parsed(None, tuple(diagnostics), _read_rest(source, structured.tokens, wrong, lacking))
    file = build(source, tree, tuple(errors.span(source, c) for c in comments))
    duplicates = _duplicates(file.strategies)
    if duplicates:
        return Parsed(None, (*diagnostics, *duplicates), _without_duplicates(file))
    return Parsed(file, tuple(diagnostics))


def _read_rest(
    source: Source, tokens: tuple[Token, ...], wrong: Sequence[int], lacking: Collection[int]
) -> PlanFile | None:
    """The statements in which nothing is wrong, and the names of the others; None where those cannot be separated.

    `wrong` are the offsets of all syntax errors, ascending; at those of `lacking` something else was expected, so where
    a statement starts there, the one before it may be what is wrong.
    """
    starts = [at for at, token in enumerate(tokens) if token.type in STATEMENT_TOKENS]
    if not starts:
        return None
    groups = [tokens[a:b] for a, b in pairwise([*starts, len(tokens) - 1])]
    ends = [*(group[0].start for group in groups[1:]), len(source.text) + 1]
    are_whole = [
        end not in lacking and bisect_left(wrong, group[0].start) == bisect_left(wrong, end)
        for group, end in zip(groups, ends, strict=True)
    ]
    tree, problems = _read(source, (*(token for group in compress(groups, are_whole) for token in group), tokens[-1]))
    if tree is None or problems:
        return None
    lost = [Unread("", None)] if starts[0] > 0 else []
    unread = (*lost, *(_unread(group) for group, whole in zip(groups, are_whole, strict=True) if not whole))
    return _without_duplicates(replace(build(source, tree, ()), unread=unread))


def _unread(group: Sequence[Token]) -> Unread:
    first, *rest = group
    if first.type == "KEYWORD":
        return Unread(first.text, None)
    name = next((token.text for token in rest[:1] if token.type == "NAME"), None)
    return Unread("strategy", "main" if first.type == "BARE" else name)


def _without_duplicates(file: PlanFile) -> PlanFile:
    first = {strategy.name: strategy for strategy in reversed(file.strategies)}
    return replace(file, strategies=tuple(s for s in file.strategies if first[s.name] is s))


def _duplicates(strategies: tuple[NamedStrategy, ...]) -> list[Diagnostic]:
    first: dict[str, NamedStrategy] = {}
    found: list[Diagnostic] = []
    for strategy in strategies:
        earlier = first.setdefault(strategy.name, strategy)
        if earlier is not strategy:
            here, there = strategy.name_span or strategy.span, earlier.name_span or earlier.span
            found.append(errors.duplicate(strategy, here, there, {s.name for s in strategies}))
    return found


def _read(source: Source, tokens: tuple[Token, ...]) -> tuple[lark.Tree[lark.Token] | None, list[Diagnostic]]:
    """The tree of some tokens, or None and what is wrong; places to go back to are kept where there is need of them."""
    parser: InteractiveParser = grammar().parse_interactive("")
    try:
        *_, tree = [parser.feed_token(lark_token(token)) for token in tokens]
    except lark.UnexpectedToken:
        from dagc.syntax.parser_recovery import Recovery

        return None, Recovery(source, tokens).read()
    return cast("lark.Tree[lark.Token]", tree), []
