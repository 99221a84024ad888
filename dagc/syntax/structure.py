"""Gives each token the role that its place asks for, and pairs the brackets.

Takes tokens as the lexer cuts them (WORD, NUMBER, COMPARISON, signs) and returns those of the grammar (KEYWORD,
NAME, UNIT, AXIS, LANGLE ...), with a diagnostic for each thing that can be found without grammar. What it reports
it also repairs (a missing bracket is added, a stray one dropped, an unknown axis taken for an axis), so that one
cause is reported once and the rest of the plan is still read.

How a word inside `{ }` is read (`_Reader._word`), `next` being the token after it:

- after `{`, `}`, or at a line's start after a value: a name;
- after a number on the same line: part of the unit if the unit table knows it; else a name if `next` can only
  belong to it (a number, string, comparison or `{`, or a word where it is a field of word value); else an unknown unit;
- after a name, on the same line, `p99` before a number or a comparison: a percentile;
- after a name or a word, on the same line: a value, unless `next` can only belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dagc import units
from dagc.diag.diagnostic import Diagnostic
from dagc.source import Source
from dagc.syntax import errors, vocabulary
from dagc.syntax.vocabulary import Token

_GLUED = re.compile(r"(dp|pp|ep|tp|cp)(\d+)", re.IGNORECASE)
_OPENERS = {"LBRACE", "LSQUARE", "_LPAR"}
_CLOSERS = {"RBRACE", "RSQUARE", "_RPAR"}
_ARGUMENTS = {"NUMBER", "STRING", "COMPARISON", "LBRACE"}
_NUMBERS = {"INT", "NUMBER", "UNIT"}


@dataclass(frozen=True, slots=True)
class Structured:
    """Tokens for the grammar, end mark included; empty when brackets are too deep to go on."""

    tokens: tuple[Token, ...]
    diagnostics: tuple[Diagnostic, ...]


def structure(source: Source, tokens: Sequence[Token], keyword: str | None = None) -> Structured:
    """Roles for a whole plan, or for the text after `keyword` on the command line."""
    reader = _Reader(source, list(tokens))
    if keyword is not None:
        reader.begin_fragment(keyword)
    return reader.read()


@dataclass(slots=True)
class _Reader:
    source: Source
    tokens: list[Token]
    at: int = 0
    mode: str = "top"
    head_line: int | None = 0
    out: list[Token] = field(default_factory=list[Token])
    open: list[Token] = field(default_factory=list[Token])
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    is_too_deep: bool = False

    def begin_fragment(self, keyword: str) -> None:
        """Read what follows as the head and body of one block; braces may be left out around bare entries."""
        self.mode, self.head_line = "head", None
        self.out.append(Token("KEYWORD", keyword, 0, 0, 1))
        first = self.tokens[0].type
        if keyword in ("workload", "require", "rules") and first not in ("LBRACE", "$END"):
            self.tokens.insert(0, self.tokens[0].before("LBRACE", "{"))
            self.tokens.insert(-1, self.tokens[-1].before("RBRACE", "}"))

    def read(self) -> Structured:
        """All tokens, to the end mark."""
        while not self.is_too_deep and self.now.type != "$END":
            self._step()
        if self.is_too_deep:
            return Structured((), tuple(self.diagnostics))
        self._close_all(self.now)
        self.out.append(self.now)
        return Structured(tuple(self.out), tuple(self.diagnostics))

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    @property
    def next(self) -> Token:
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)]

    @property
    def last(self) -> Token | None:
        return self.out[-1] if self.out else None

    @property
    def _written(self) -> Token:
        """The last token of the text that was not added here; the present one where only added ones were before."""
        return next((token for token in reversed(self.out) if token.end > token.start), self.now)

    def _emit(self, role: str) -> None:
        self.out.append(self.now.as_role(role))
        self.at += 1

    def _step(self) -> None:
        if self._starts_statement():
            self._statement()
            return
        match self.open[-1].type if self.open else self.mode:
            case "LBRACE" | "LSQUARE":
                self._entry_token()
            case "head":
                self._head_token()
            case "strategy name":
                self._strategy_name_token()
            case "top":
                self._top_token()
            case _:
                self._strategy_token()

    # Statements

    def _starts_statement(self) -> bool:
        if self.now.type != "WORD" or self.now.text not in vocabulary.STATEMENTS:
            return False
        inside_entries = bool(self.open) and self.open[-1].type == "LBRACE"
        return not inside_entries or self._starts_line() or not self._takes_word()

    def _starts_line(self) -> bool:
        return self.at == 0 or self.tokens[self.at - 1].line < self.now.line

    def _takes_word(self) -> bool:
        last = self.last
        return last is not None and (last.type == "COMPARISON" or last.text in vocabulary.WORD_VALUED)

    def _statement(self) -> None:
        self._close_all(self.now)
        self.mode = "strategy name" if self.now.text == vocabulary.STRATEGY else "head"
        self.head_line = self.now.line
        self._emit("STRATEGY" if self.now.text == vocabulary.STRATEGY else "KEYWORD")

    def _head_token(self) -> None:
        """The values after a keyword, on its line; `{` may be on a later one."""
        token = self.now
        if token.type == "LBRACE":
            self._push("LBRACE")
            self.mode = "top"
        elif self.head_line is not None and token.line != self.head_line:
            self.mode = "top"
        elif token.type == "WORD" and token.text not in vocabulary.RESERVED:
            self._emit("WORD")
        elif token.type == "NUMBER":
            self._number()
        elif token.type in ("STRING", "OPEN_STRING"):
            self._string()
        elif self.head_line is None:
            self._bracket_or_emit(token.type)
        else:
            self.mode = "top"

    def _strategy_name_token(self) -> None:
        if self.now.type == "WORD" and self.last is not None and self.last.type == "STRATEGY":
            self._emit("AXIS" if self.now.text in vocabulary.AXES else "NAME")
            return
        self.mode = "strategy"
        if self.now.text == "=":
            self._emit("EQUAL")

    def _top_token(self) -> None:
        if self.now.type == "WORD" and self._is_unknown_block():
            self.diagnostics.append(errors.unknown_block(self.source, self.now))
            self.mode, self.head_line = "head", self.now.line
            self._emit("KEYWORD")
        elif self.now.type in _CLOSERS or self.now.text == ">":
            self._pop("RANGLE" if self.now.text == ">" else self.now.type)
        else:
            self.out.append(self.now.before("BARE"))
            self.mode = "strategy"

    def _is_unknown_block(self) -> bool:
        word = self.now.text
        if word in vocabulary.RESERVED or _GLUED.fullmatch(word):
            return False
        if self.next.type == "WORD":
            return self.next.text not in vocabulary.RESERVED
        if self.next.type == "NUMBER":
            return not units.likeliest(word, vocabulary.AXES)
        return self.next.type in ("STRING", "LBRACE")

    # Strategies

    def _strategy_token(self) -> None:
        token = self.now
        if token.type == "WORD":
            self._strategy_word()
        elif token.text == "<":
            self._push("LANGLE")
        elif token.text == ">":
            self._pop("RANGLE")
        elif token.type == "NUMBER" and self.last is not None and self.last.type == "AXIS":
            self._degree()
        else:
            self._bracket_or_emit(token.type)

    def _strategy_word(self) -> None:
        token = self.now
        if token.text in vocabulary.AXES:
            self._emit("AXIS")
        elif token.text in vocabulary.SCOPES:
            self._emit("SCOPE")
        elif not self.open and self._starts_line() and self._is_unknown_block():
            self._top_token()
        elif glued := _GLUED.fullmatch(token.text):
            axis, degree = glued[1].lower(), glued[2]
            self.diagnostics.append(errors.glued_axis(self.source, token, axis, degree))
            self.out.append(token.before("AXIS", axis))
            self.out.append(token.as_role("INT"))
            self.at += 1
        elif self.next.text == "<" or self.next.type == "LSQUARE":
            self.diagnostics.append(errors.unknown_scope(self.source, token))
            self._emit("SCOPE")
        else:
            self._unknown_axis()

    def _unknown_axis(self) -> None:
        self.diagnostics.append(errors.unknown_axis(self.source, self.now))
        self._emit("AXIS")
        if self.now.type != "NUMBER":
            self.out.append(self.now.before("INT", "1"))

    def _degree(self) -> None:
        axis = self.out[-1]
        if not re.fullmatch(r"[0-9_]+", self.now.text):
            self.diagnostics.append(errors.bad_degree(self.source, axis, self.now))
        else:
            self._check_size()
        self._emit("INT")

    # Entries and options

    def _entry_token(self) -> None:
        token = self.now
        in_options = self.open[-1].type == "LSQUARE"
        if token.type == "WORD":
            self._word()
        elif token.type in ("NUMBER", "STRING", "OPEN_STRING"):
            self._entry_value(in_options)
        elif in_options and (token.type in ("COMPARISON", "_SEMICOLON", "_BAR")):
            self._leave_options()
        else:
            self._bracket_or_emit(token.type)

    def _entry_value(self, in_options: bool) -> None:
        """A number or a string. The end of a line ends the values, so one may start a line only behind a comparison."""
        ends_here = self.out[-1].type in (*_NUMBERS, "NAME", "WORD", "STRING")
        if not in_options and ends_here and self._starts_line():
            self.diagnostics.append(errors.value_on_new_line(self.source, self.now, self.out[-1]))
        if self.now.type == "NUMBER":
            self._number()
        else:
            self._string()

    def _leave_options(self) -> None:
        """`[micro 8 < ep 4 >`: nothing that composes strategies is in options, so `]` was forgotten."""
        opener = self.open.pop()
        self.diagnostics.append(errors.unclosed(self.source, opener, self.now, self._written))
        self.out.append(self.now.before("RSQUARE", "]"))

    def _word(self) -> None:
        last = self.out[-1]
        same_line = not self._starts_line() or self.open[-1].type == "LSQUARE"
        has_figure = self.next.type in ("COMPARISON", "NUMBER") and self.next.line == self.now.line
        if last.type == "NAME" and same_line and has_figure and vocabulary.is_percentile(last.text, self.now.text):
            self._emit("PERCENTILE")
            return
        if last.type == "COMPARISON":
            is_name = not same_line
        elif last.type == "NAME":
            is_name = not same_line or (last.text not in vocabulary.WORD_VALUED and self._must_be_name())
        elif last.type in ("WORD", "STRING") or last.type in _NUMBERS:
            is_name = not same_line or not self._goes_on(last)
        else:
            is_name = True
        self._emit("NAME" if is_name else "WORD")

    def _goes_on(self, last: Token) -> bool:
        if vocabulary.continues(self.out, self.now.text):
            return True
        return last.type not in _NUMBERS and not self._must_be_name()

    def _must_be_name(self) -> bool:
        """Whether what follows the word now can only belong to it."""
        in_options = self.open[-1].type == "LSQUARE"
        if self.next.line != self.now.line and self.next.type != "LBRACE" and not in_options:
            return self.now.text in vocabulary.FLAGS
        if self.next.type in _ARGUMENTS:
            return True
        if self.next.type == "WORD":
            return self.now.text in vocabulary.WORD_VALUED
        return self.now.text in vocabulary.FLAGS

    # Values

    def _string(self) -> None:
        if self.now.type == "OPEN_STRING":
            self.diagnostics.append(errors.open_string(self.source, self.now))
        self._emit("STRING")

    def _number(self) -> None:
        self._check_size()
        self._emit("INT" if re.fullmatch(r"[0-9_]+", self.now.text) else "NUMBER")
        words = self._unit_words()
        count = units.leading_words(words)
        if count and not self._is_name_like(count):
            for _ in range(count):
                self._emit("UNIT")
        elif words and not self._is_name_after_number():
            self._unknown_unit(words)

    def _check_size(self) -> None:
        whole = re.split(r"[.eE]", self.now.text.lstrip("-").replace("_", ""))[0]
        if len(whole) > errors.MAX_DIGITS or abs(float(self.now.text.replace("_", ""))) >= 10**errors.MAX_DIGITS:
            self.diagnostics.append(errors.bad_number(self.source, self.now))

    def _unit_words(self) -> list[str]:
        """Words on the line of the number that may be its unit."""
        words: list[str] = []
        for token in self.tokens[self.at : self.at + 4]:
            is_word = token.type == "PERCENT" or (token.type == "WORD" and token.text not in vocabulary.STATEMENTS)
            if not is_word or token.line != self.out[-1].line:
                break
            words.append(token.text)
        if not self.open and words and words[0] in vocabulary.RESERVED:
            return []
        return words

    def _is_name_like(self, count: int) -> bool:
        """`node 8 gpus 256`: the word could be a unit, but a value follows that would be left without a name."""
        follower = self.tokens[self.at + count]
        return bool(self.open) and self.now.text in units.NAME_LIKE and follower.type in _ARGUMENTS

    def _is_name_after_number(self) -> bool:
        if not self.open:
            return False
        return self.now.text in vocabulary.CONTINUATIONS | vocabulary.FLAGS or self._must_be_name()

    def _unknown_unit(self, words: Sequence[str]) -> None:
        length = 2 if words[0] in units.KINDS and len(words) > 1 and "/" in words[1] else 1
        if len(words) > length + 1 and words[length] in ("per", "a") and words[length + 1].lower() == "gpu":
            length += 2
        first, last = self.tokens[self.at], self.tokens[self.at + length - 1]
        self.diagnostics.append(errors.unknown_unit(self.source, first, last))
        for _ in range(length):
            self._emit("UNIT")

    # Brackets

    def _bracket_or_emit(self, kind: str) -> None:
        if kind in _OPENERS:
            self._push(kind)
        elif kind in _CLOSERS:
            self._pop(kind)
        else:
            self._emit(kind)

    def _push(self, role: str) -> None:
        if len(self.open) >= errors.MAX_DEPTH:
            self.diagnostics.append(errors.too_deep(self.source, self.now))
            self.is_too_deep = True
            return
        self.open.append(self.now.as_role(role))
        self._emit(role)

    def _pop(self, role: str) -> None:
        if not any(errors.CLOSER[opener.type] == role for opener in self.open):
            self._stray_closer(role)
            return
        while errors.CLOSER[self.open[-1].type] != role:
            self._add_closer(self.now.as_role(role))
        self.open.pop()
        self._emit(role)

    def _stray_closer(self, role: str) -> None:
        """A closer without partner: the wrong one for what is open, or one too many."""
        closer = self.now.as_role(role)
        if self.open:
            self._add_closer(closer)
        else:
            self.diagnostics.append(errors.unmatched(self.source, closer))
        self.at += 1

    def _close_all(self, end: Token) -> None:
        while self.open:
            self._add_closer(end)

    def _add_closer(self, end: Token) -> None:
        opener = self.open.pop()
        self.diagnostics.append(errors.unclosed(self.source, opener, end, self._written))
        closer = errors.CLOSER[opener.type]
        self.out.append(self.now.before(closer, errors.SIGN[closer]))
