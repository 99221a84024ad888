"""Diagnostics of a configuration: what is wrong, in which field and line, and what can be done.

The primary place is where the plan names the file; the fields themselves are labelled in the file's own text.

Where the fields of a JSON text are.

The parser of the standard library gives no positions, so the tokens of a text that it has accepted are gone through
once more. A field is named by its path, steps joined by dots; objects inside lists are part of their list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dagc.catalog.huggingface.fields import FieldError, UnknownFields
from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.source import Source, Span

CONFIG_FIELD = Code("N127", "config-field")
CONFIG_UNREADABLE = Code("N128", "config-unreadable")
UNKNOWN_FIELD = Code("N129", "unknown-config-field")

_MOST_NAMES, _MOST_LABELS = 20, 8
"""Fields that are named, and those whose lines are shown."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A configuration in messages: its name, the place in the plan that names it, and its text where it is a file."""

    name: str
    span: Span | None
    text: Source | None

    def places(self) -> Mapping[str, Span]:
        """Where its fields are."""
        return field_spans(self.text) if self.text else {}


def wrong_field(wrong: FieldError, place: str, reported: Reported) -> Diagnostic:
    """N127 for a field that is missing, wrong or not supported; `place` is its path from the file's root."""
    places = reported.places()
    found, inside = places.get(place), places.get(place.rpartition(".")[0])
    labels = (Label(found, wrong.problem),) if found else (Label(inside, "in here"),) if inside else ()
    return CONFIG_FIELD.at(
        reported.span,
        f"in the configuration of `{reported.name}`, the field `{place}`{_line(found)} {wrong.problem}",
        "cannot be read",
        labels=labels,
        help=(wrong.help,),
    )


def unknown_fields(unknown: UnknownFields, reported: Reported) -> Diagnostic:
    """N129 for all fields that are not known."""
    places = reported.places()
    known = [(field, places.get(field)) for field in unknown.fields]
    listed = ", ".join(f"`{field}`{_line(span)}" for field, span in known[:_MOST_NAMES])
    listed += f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    what = "fields" if len(known) > 1 else "a field"
    return UNKNOWN_FIELD.at(
        reported.span,
        f"the configuration of `{reported.name}` has {what} that dagc does not read: {listed}",
        "its figures could be wrong",
        labels=tuple(Label(span, "not read") for _, span in known[:_MOST_LABELS] if span),
        notes=("a field that is neither read nor known to be harmless may change shapes, layers or stored types",),
        help=(unknown.help,),
    )


def cannot_read(path: Path, reason: str, span: Span | None) -> Diagnostic:
    """N128 for a file that is no JSON object."""
    return CONFIG_UNREADABLE.at(
        span,
        f"cannot read the model configuration `{path}`: {reason}",
        "cannot be read",
        help=("give the path of a model's `config.json`, counted from the plan's directory",),
    )


def _line(span: Span | None) -> str:
    return f" (line {span.source.position(span.start)[0]})" if span else ""


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
