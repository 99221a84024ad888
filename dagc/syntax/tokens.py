"""A token: a piece of text with the role that the grammar knows it by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Token:
    """`type` is a terminal of `grammar/dagc.lark`; `start` to `end` are offsets; `line` counts from 1.

    Tokens of nothing written (a missing bracket, the start of a bare strategy) are empty.
    """

    type: str
    text: str
    start: int
    end: int
    line: int

    def as_role(self, role: str) -> Token:
        """The same text in another role."""
        return Token(role, self.text, self.start, self.end, self.line)

    def before(self, role: str, text: str = "") -> Token:
        """An empty token just before this one."""
        return Token(role, text, self.start, self.start, self.line)
