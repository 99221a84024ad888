"""Turns text into the syntax tree, or into diagnostics: every syntax error of the text in one run.

Three passes: the lexer cuts the text (`parser_grammar`), roles are given and brackets paired (`structure`), and the
LALR parser takes the tokens one by one (here). Where it cannot take one, what went wrong is reported, the parser
goes back to the start of the piece it was in, takes ERROR in its place, and reading resumes after the piece.

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
from dagc.syntax.parser_grammar import grammar, lex
from dagc.syntax.structure import structure
from dagc.syntax.tree import Block, NamedStrategy, PlanFile, ScopeKind, Unread
from dagc.syntax.vocabulary import Token

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|[\ud800-\udfff]|[\ufffd-\uffff]")
"""Control characters, halves of surrogate pairs, and the mark of bytes which are no UTF-8."""

_OPENERS = frozenset(errors.CLOSER)
_CLOSERS = frozenset(errors.CLOSER.values())
_SEPARATORS = frozenset({"_SEMICOLON", "_BAR", "_COMMA"})
_PHASES = (ScopeKind.PREFILL, ScopeKind.DECODE)
_NESTED = frozenset({"AXIS", "SCOPE", "_LPAR"})
"""Tokens with which a strategy begins."""

_STATEMENTS = frozenset({"KEYWORD", "STRATEGY", "BARE"})
_STOPS = _STATEMENTS | {"$END"}
_ENDS = {
    "statement": frozenset[str](),
    "strategy": frozenset({"_SEMICOLON", "_BAR"}),
    "LANGLE": frozenset({"_SEMICOLON", "_BAR", "RANGLE"}),
    "_LPAR": frozenset({"_SEMICOLON", "_BAR", "_RPAR"}),
    "LBRACE": frozenset({"NAME", "RBRACE"}),
    "LSQUARE": frozenset({"_COMMA", "RSQUARE"}),
}
"""Where a piece that could not be read ends, by the kind of piece; a new statement ends all."""


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
    starts = [at for at, token in enumerate(tokens) if token.type in _STATEMENTS]
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
        *_, tree = [parser.feed_token(_lark_token(token)) for token in tokens]
    except lark.UnexpectedToken:
        return None, _Recovering(source, tokens).read()
    return cast("lark.Tree[lark.Token]", tree), []


class _Recovering:
    """One run of the LALR parser over tokens with paired brackets of which it cannot take all.

    `points` holds, for the statement and each open bracket in it, the place to go back to: what kind of piece is
    being read there, and a copy of the parser from before the piece.
    """

    def __init__(self, source: Source, tokens: tuple[Token, ...]) -> None:
        self.source = source
        self.tokens = tokens
        self.parser: InteractiveParser = grammar().parse_interactive("")
        self.points = [("statement", self._copy())]
        self.recovered_at = -1
        self.diagnostics: list[Diagnostic] = []

    def read(self) -> list[Diagnostic]:
        """What is wrong, to the end of the text."""
        at = 0
        while at < len(self.tokens):
            token = self.tokens[at]
            before = self._copy() if self._starts_piece(token) else None
            try:
                self.parser.feed_token(_lark_token(token))
            except lark.UnexpectedToken:
                at = self._recover(at)
                continue
            self._note(token, before)
            at += 1
        return self.diagnostics

    def _starts_piece(self, token: Token) -> bool:
        return token.type in _STATEMENTS or (token.type == "NAME" and self.points[-1][0] == "LBRACE")

    def _note(self, token: Token, before: InteractiveParser | None) -> None:
        """Keep the place to go back to, now that a token was taken."""
        kind = self.points[-1][0]
        if token.type in _OPENERS:
            self.points.append((token.type, self._copy()))
        elif token.type in _CLOSERS:
            self.points.pop()
        elif token.type in ("BARE", "EQUAL"):
            self.points[-1] = ("strategy", self._copy())
        elif token.type in _SEPARATORS:
            self.points[-1] = (kind, self._copy())
        elif before is not None:
            self.points[-1] = ("statement" if token.type in _STATEMENTS else kind, before)

    def _recover(self, at: int) -> int:
        """Report, replace the piece by ERROR, and return where to go on. Once for each piece."""
        kind, point = self.points[-1]
        if at == self.recovered_at:
            return at + 1
        follows_error = 0 <= self.recovered_at == at - 1
        if not follows_error and not self._is_mended(self.tokens[at]):
            self.diagnostics.append(self._unexpected(at, kind))
        self.parser = point.copy(deepcopy_values=False)
        self.parser.feed_token(lark.Token("ERROR", ""))
        self.recovered_at = self._end_of_piece(at, _ENDS[kind])
        return self.recovered_at

    def _unexpected(self, at: int, kind: str) -> Diagnostic:
        """What is wrong with the token at which reading stopped."""
        scope = self._scope_before(at)
        if scope is not None and (gaps := self._gaps(scope, kind)):
            return errors.bare_inside(self.source, self.tokens[scope], self.tokens[at], gaps)
        previous = self.tokens[at - 1] if at else None
        return errors.unexpected(self.source, self.tokens[at], previous, self.parser.accepts())

    def _scope_before(self, at: int) -> int | None:
        """Where the scope is that ends before a token, with its options or without."""
        before = at - 1
        if before > 0 and self.tokens[before].type == "RSQUARE":
            before = next(i for i in range(before, 0, -1) if self.tokens[i].type == "LSQUARE") - 1
        return before if before >= 0 and self.tokens[before].type == "SCOPE" else None

    def _gaps(self, scope: int, kind: str) -> list[tuple[int, int]]:
        """Of a scope, and of each scope that follows without a `<`, where that is missing and where its `>` is.

        A domain ends with its branch of a fold, a phase with its pool.
        """
        gaps: list[tuple[int, int]] = []
        while self.tokens[scope].type == "SCOPE":
            inside = scope + 1
            if self.tokens[inside].type == "LSQUARE":
                inside = next(i for i in range(inside, len(self.tokens)) if self.tokens[i].type == "RSQUARE") + 1
            if self.tokens[inside].type not in _NESTED:
                break
            is_phase = self.tokens[scope].text in _PHASES
            end = self._end_of_piece(inside, _ENDS[kind] - ({"_SEMICOLON"} if is_phase else set()))
            gaps.append((self.tokens[inside - 1].end, self.tokens[end - 1].end))
            scope = inside
        return gaps

    @staticmethod
    def _is_mended(token: Token) -> bool:
        """A bracket that `structure` added: that it was missing is reported, what it lacks inside follows from it."""
        return token.type in _CLOSERS and token.start == token.end

    def _end_of_piece(self, at: int, ends: frozenset[str]) -> int:
        depth = 0
        while self.tokens[at].type not in _STOPS:
            kind = self.tokens[at].type
            if depth == 0 and kind in ends:
                break
            depth += (kind in _OPENERS) - (kind in _CLOSERS)
            at += 1
        return at

    def _copy(self) -> InteractiveParser:
        return self.parser.copy(deepcopy_values=False)


def _lark_token(token: Token) -> lark.Token:
    return lark.Token(token.type, token.text, start_pos=token.start, end_pos=token.end)
