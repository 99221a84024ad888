"""Reads tokens of which the LALR parser cannot take all, and reports every place where it stops.

There the parser goes back to the start of the piece that it was in, takes ERROR in its place, and reading resumes after
the piece.
"""

# Lark leaves some of its parameters without types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import lark
from lark.parsers.lalr_interactive_parser import InteractiveParser

from dagc.diag.diagnostic import Diagnostic
from dagc.source import Source
from dagc.syntax import errors
from dagc.syntax.parser_grammar import grammar, lark_token
from dagc.syntax.tree import ScopeKind
from dagc.syntax.vocabulary import STATEMENT_TOKENS, Token

_OPENERS = frozenset(errors.CLOSER)
_CLOSERS = frozenset(errors.CLOSER.values())
_SEPARATORS = frozenset({"_SEMICOLON", "_BAR", "_COMMA"})
_PHASES = (ScopeKind.PREFILL, ScopeKind.DECODE)
_NESTED = frozenset({"AXIS", "SCOPE", "_LPAR"})
"""Tokens with which a strategy begins."""

_STOPS = STATEMENT_TOKENS | {"$END"}
_ENDS = {
    "statement": frozenset[str](),
    "strategy": frozenset({"_SEMICOLON", "_BAR"}),
    "LANGLE": frozenset({"_SEMICOLON", "_BAR", "RANGLE"}),
    "_LPAR": frozenset({"_SEMICOLON", "_BAR", "_RPAR"}),
    "LBRACE": frozenset({"NAME", "RBRACE"}),
    "LSQUARE": frozenset({"_COMMA", "RSQUARE"}),
}
"""Where a piece that could not be read ends, by the kind of piece; a new statement ends all."""


class Recovery:
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
                self.parser.feed_token(lark_token(token))
            except lark.UnexpectedToken:
                at = self._recover(at)
                continue
            self._note(token, before)
            at += 1
        return self.diagnostics

    def _starts_piece(self, token: Token) -> bool:
        return token.type in STATEMENT_TOKENS or (token.type == "NAME" and self.points[-1][0] == "LBRACE")

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
            self.points[-1] = ("statement" if token.type in STATEMENT_TOKENS else kind, before)

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
