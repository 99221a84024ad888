"""Renders diagnostics as GitHub's workflow commands, which show them beside the lines of a change.

One command a line: `::error file=plan.moe,line=7,col=27,endLine=7,endColumn=32,title=D203 ep-exceeds-experts::message`.
The escapes are those of GitHub's own toolkit for actions (`packages/core/src/command.ts`): `%` and line ends in the
message, `:` and `,` as well in a property.
"""

from __future__ import annotations

from collections.abc import Iterable

from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import escape
from dagc.source import Span


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """A command each, in the given order, no end of line after the last."""
    return "\n".join(_command(diagnostic) for diagnostic in diagnostics)


def _command(diagnostic: Diagnostic) -> str:
    place = _place(diagnostic.span) if diagnostic.span else {}
    title = f"{diagnostic.code.code} {diagnostic.code.name}"
    properties = ",".join(f"{name}={_property(value)}" for name, value in {**place, "title": title}.items())
    return f"::{diagnostic.severity} {properties}::{_data(_message(diagnostic))}"


def _place(span: Span) -> dict[str, str]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(span.end)
    places = {"line": line, "col": column, "endLine": end_line, "endColumn": end_column}
    return {"file": escape(span.source.name), **{name: str(number) for name, number in places.items()}}


def _message(diagnostic: Diagnostic) -> str:
    """The message with its label, then notes and help, a line each."""
    label = f" ({diagnostic.label})" if diagnostic.label else ""
    remarks = [f"note: {text}" for text in diagnostic.notes] + [f"help: {text}" for text in diagnostic.help]
    lines = "\n".join([f"{diagnostic.message}{label}", *remarks]).split("\n")
    return "\n".join(escape(line) for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
