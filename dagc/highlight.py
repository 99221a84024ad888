"""The Pygments lexer of plans: `pygmentize -l dagc plan.moe`, and code blocks of documentation named `moe`.

Pygments finds it by the entry point; dagc itself never imports this module, and does not depend on Pygments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pygments.lexer import RegexLexer, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from dagc.syntax.vocabulary import AXES, BLOCKS, FLAGS, SCOPES, STRATEGY

_OPTIONS = ("micro", "layers", "redundant", "overlap", "dcp", "shared", "exchange", "device", *sorted(FLAGS))


class PlanLexer(RegexLexer):
    """Plans and strategies of dagc, by their words: what a word is elsewhere in a plan does not matter."""

    name = "dagc plan"
    aliases: ClassVar[Sequence[str]] = ["moe", "dagc"]
    filenames: ClassVar[Sequence[str]] = ["*.moe"]
    mimetypes: ClassVar[Sequence[str]] = ["text/x-dagc"]

    tokens: ClassVar[dict[str, list[object]]] = {
        "root": [
            (r"[\s\ufeff]+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r'"[^"\n]*"', String),
            (words((*BLOCKS, STRATEGY), prefix=r"\b", suffix=r"\b(?![\w.-])"), Keyword.Declaration),
            (words(AXES, prefix=r"\b", suffix=r"(?=\s+[0-9])"), Keyword),
            (words(SCOPES, prefix=r"\b", suffix=r"(?=\s*[<\[])"), Keyword),
            (words(_OPTIONS, prefix=r"(?<=[\[,] )", suffix=r"\b"), Name.Attribute),
            (words(_OPTIONS, prefix=r"(?<=[\[,])", suffix=r"\b"), Name.Attribute),
            (r"-?[0-9](?:_?[0-9])*(?:\.[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9]+)?", Number),
            (r"%", Operator),
            (r"[<>]=?|=|;|\|", Operator),
            (r"[{}\[\](),]", Punctuation),
            (r"(?:\.{0,2}/)?[^\W\d][\w.\-]*(?:/[\w.\-]+)*", Name),
            (r"/", Operator),
        ]
    }
