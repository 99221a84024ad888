"""The Lark parser of `dagc.lark`, made once and kept on disk.

Building the LALR tables takes far longer than parsing a plan, so they are cached in the user's cache directory
under a name that changes with the grammar, Lark and Python. Where that directory cannot be written, tables are
built every time. A cache file appears whole or not at all, so processes that start together do not disturb
each other.

A cache file is data: JSON under its SHA-256, read only where nobody but its owner, the user, can write it. Lark's own
`save` pickles the same data, and a pickle runs the code of its writer.
"""

# Lark leaves some of its parameters without types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import lark
from lark.grammar import Rule
from lark.lexer import BasicLexer, LexerThread, TerminalDef

from dagc.source import Source
from dagc.syntax.vocabulary import Token


def lex(source: Source) -> tuple[list[Token], list[Token]]:
    """Tokens before they have roles, with an end mark after the last, and the comments."""
    tokens: list[Token] = []
    comments: list[Token] = []
    for raw in LexerThread.from_text(_lexer(), source.text).lex(None):
        start, end = raw.start_pos or 0, raw.end_pos or 0
        token = Token(raw.type, str(raw), start, end, raw.line or 1)
        (comments if raw.type == "COMMENT" else tokens).append(token)
    end, line = (tokens[-1].end, tokens[-1].line) if tokens else (0, 1)
    tokens.append(Token("$END", "", end, end, line))
    return tokens, comments


@lru_cache(maxsize=1)
def _lexer() -> BasicLexer:
    """The lexer of the grammar. Lark's own `lex` makes one at each call, and may compare all terminals as it does."""
    conf = copy(grammar().lexer_conf)
    conf.skip_validation = True
    return BasicLexer(conf)


@lru_cache(maxsize=1)
def grammar() -> lark.Lark:
    """The parser, from the cache where there is one."""
    text = _grammar_text()
    cache = _cache_file(text)
    if cache is None:
        return _build(text)
    return _load(cache) or _build_and_keep(text, cache)


class _KeepAll:
    """Keeps terminals that no rule uses, because roles are given after lexing."""

    always_accept = ("COMMENT", "OPEN_STRING", "NUMBER", "WORD", "PERCENT", "COMPARISON", "OTHER")

    @staticmethod
    def process(stream: Iterator[lark.Token]) -> Iterator[lark.Token]:
        return stream


def _build(text: str) -> lark.Lark:
    # Lark asks for its own abstract class as `postlex`, and uses the two members that _KeepAll has.
    postlex: Any = _KeepAll()
    return lark.Lark(text, parser="lalr", lexer="basic", postlex=postlex, maybe_placeholders=False)


def _load(cache: Path) -> lark.Lark | None:
    """The parser in a cache file; None where there is none, or none that can be trusted."""
    try:
        with cache.open("rb") as file:
            if not _is_own(os.fstat(file.fileno())) or not _is_own(cache.parent.stat()):
                return None
            digest, _, content = file.read().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest().encode() != digest:
        return None
    try:
        return _parser(json.loads(content))
    except Exception:  # a file of other data can fail anywhere, and is written again
        return None


def _parser(kept: dict[str, Any]) -> lark.Lark:
    """The parser of tables as `_content` keeps them."""
    tables = kept["data"]["parser"]["parser"]
    tables["tokens"] = _by_number(tables["tokens"])
    tables["states"] = {int(state): _by_number(actions) for state, actions in tables["states"].items()}
    # The public `load` takes a pickle.
    load = cast("Any", lark.Lark)._load_from_dict
    return load(kept["data"], _by_number(kept["memo"]), postlex=_KeepAll())


def _is_own(status: os.stat_result) -> bool:
    """Whether a file is the user's, and nobody else may write it. A system without users has no others."""
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


def _by_number(table: dict[str, Any]) -> dict[int, Any]:
    """JSON has no keys but text."""
    return {int(key): value for key, value in table.items()}


def _content(parser: lark.Lark) -> bytes:
    """The tables of a parser as a cache file holds them."""
    data, memo = parser.memo_serialize([TerminalDef, Rule])
    data["options"] = {**data["options"], "postlex": None}
    content = json.dumps({"data": data, "memo": memo}).encode()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _build_and_keep(text: str, cache: Path) -> lark.Lark:
    from dagc.files import replace_file

    parser = _build(text)
    # A full or read-only disk costs the next start some time, nothing else.
    with suppress(OSError):
        replace_file(cache, _content(parser), 0o600)
    return parser


def _cache_file(text: str) -> Path | None:
    """Where the tables are kept, or None where nothing can be written."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        directory = (Path(base) if base else Path.home() / ".cache") / "dagc"
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    version = f"{lark.__version__} {sys.version_info[:2]} "
    key = hashlib.sha256((version + text).encode()).hexdigest()[:16]
    return directory / f"grammar-{key}.json"


def _grammar_text() -> str:
    """The grammar as package data of an installed dagc, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "grammar" / "dagc.lark"
    return (installed if installed.is_file() else package.parent / "grammar" / "dagc.lark").read_text("utf-8")


def lark_token(token: Token) -> lark.Token:
    """A token as the parser takes it."""
    return lark.Token(token.type, token.text, start_pos=token.start, end_pos=token.end)
