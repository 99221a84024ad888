"""The glossary: `glossary.md` in this folder, read as package data and shown in the documentation as it is.

An entry is a heading of the third level, `### TERM (OTHER NAME, …)`, sentences, and a list of its place in the language
and its sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import dagc.diag

_ENTRY = re.compile(r"^### (?P<term>[^(\n]+?)(?: \((?P<others>[^)\n]+)\))?\n(?P<body>.*?)(?=^##|\Z)", re.M | re.S)
_LINK = re.compile(r"\[([^]]*)]\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Term:
    """A term, its other names, and what the glossary says of it, in Markdown."""

    term: str
    others: tuple[str, ...]
    body: str

    @property
    def text(self) -> str:
        """The entry for a terminal: links are spelt out."""
        others = f" ({', '.join(self.others)})" if self.others else ""
        body = _LINK.sub(r"\1, \2", self.body)
        return f"{self.term}{others}\n\n{body}\n"


@cache
def entries() -> tuple[Term, ...]:
    """All entries, in the order of the page."""
    text = (files(dagc.diag) / "glossary.md").read_text("utf-8")
    return tuple(
        Term(found["term"], tuple(found["others"].split(", ")) if found["others"] else (), found["body"].strip())
        for found in _ENTRY.finditer(text)
    )


def names() -> tuple[str, ...]:
    """The terms, without their other names, in the order of the page."""
    return tuple(entry.term for entry in entries())


def find(word: str) -> Term | None:
    """The entry of a term or another name of it, in any case, with or without hyphens, or in the plural; or None."""
    known, wanted = _by_key(), _key(word)
    return known.get(wanted) or known.get(wanted.removesuffix("s")) or known.get(wanted.removesuffix("es"))


def near(word: str) -> tuple[str, ...]:
    """At most three terms that are spelt like a word or have it in them, the nearest first."""
    known, wanted = _by_key(), _key(word)
    spelt = get_close_matches(wanted, known, n=3, cutoff=0.7)
    holding = [key for key in known if len(wanted) > 2 and wanted in key]
    return tuple(dict.fromkeys(known[key].term for key in (*spelt, *holding)))[:3]


@cache
def _by_key() -> Mapping[str, Term]:
    return {_key(name): entry for entry in reversed(entries()) for name in (*reversed(entry.others), entry.term)}


def _key(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word).casefold()
