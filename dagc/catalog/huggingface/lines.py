"""Where the fields of a JSON text are.

The parser of the standard library gives no positions, so the tokens of a text that it has accepted are gone through
once more. A field is named by its path, steps joined by dots; objects inside lists are part of their list.
"""

from __future__ import annotations

import json
import re

from dagc.source import Source, Span

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def field_spans(source: Source) -> dict[str, Span]:
    """The span of each field's name by its path, of repeated ones the last; `source` holds a valid JSON object."""
    found: dict[str, Span] = {}
    path: list[str] = []
    brackets: list[str] = []
    name = ""
    tokens = list(_TOKEN.finditer(source.text))
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        text = token.group()
        if text in "{[":
            brackets.append(text)
            path.append(name)
        elif text in "}]":
            brackets.pop()
            path.pop()
        elif following is not None and following.group() == ":" and "[" not in brackets:
            name = str(json.loads(text))
            found[".".join((*path[1:], name))] = source.span(token.start(), token.end())
    return found
