"""How the commands print diagnostics, and the exit status that follows from them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from dagc.diag.diagnostic import Diagnostic, Family, tally

CLEAN, ERRORS, USAGE = 0, 1, 2
"""Exit statuses: clean or warnings only; errors in the plan; a usage error or a file that cannot be had."""


text_or_json = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)
"""The option of commands that print facts."""


def exit_status(diagnostics: Sequence[Diagnostic]) -> int:
    """The exit status that diagnostics call for."""
    errors = [d for d in diagnostics if d.is_error]
    if any(d.code.family is Family.FILES for d in errors):
        return USAGE
    return ERRORS if errors else CLEAN


def print_text(diagnostics: Sequence[Diagnostic]) -> None:
    """Write diagnostics for a person to standard error, with a count at the end."""
    from dagc.diag.text import render

    if not diagnostics:
        return
    click.echo(render(diagnostics, color=use_color()), err=True)
    click.echo(tally(diagnostics), err=True)
    if fixable := _fixable(diagnostics):
        click.echo(fixable, err=True)


def finish(diagnostics: Sequence[Diagnostic]) -> NoReturn:
    """Print diagnostics for a person and end the command with their exit status."""
    print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def print_named(named: Sequence[tuple[str, str]]) -> None:
    """Write which preset each short name was taken for, on one line; nothing where none was short."""
    if named:
        click.echo("; ".join(f"`{written}` is {preset}" for written, preset in named))


def print_concise(diagnostics: Sequence[Diagnostic]) -> None:
    """Write one line a diagnostic to standard output."""
    from dagc.diag.text import render_concise

    if diagnostics:
        click.echo(render_concise(diagnostics))


def print_github(diagnostics: Sequence[Diagnostic]) -> None:
    """Write one workflow command a diagnostic to standard output."""
    from dagc.diag.github import render

    if diagnostics:
        click.echo(render(diagnostics))


def print_sarif(diagnostics: Sequence[Diagnostic]) -> None:
    """Write a SARIF log to standard output."""
    from importlib.metadata import version

    from dagc.diag.sarif import to_sarif

    print_json(to_sarif(diagnostics, version("moe-dagc")))


def _fixable(diagnostics: Sequence[Diagnostic]) -> str:
    """E.g. `[*] 2 fixable with dagc check --fix, 1 more with --unsafe-fixes`; empty for none."""
    from dagc.diag.fixing import fix_of

    safe = sum(fix_of(d, unsafe=False) is not None for d in diagnostics)
    unsafe = sum(fix_of(d, unsafe=True) is not None for d in diagnostics) - safe
    more = " more" if safe else " fixable"
    lead = [f"[*] {safe} fixable with `dagc check --fix`"] if safe else []
    return ", ".join([*lead, *([f"{unsafe}{more} with `dagc check --unsafe-fixes`"] if unsafe else [])])


def use_color() -> bool:
    """Colour on a terminal, unless NO_COLOR says otherwise."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def print_json(document: object) -> None:
    """Write a document to standard output; keys keep their order."""
    click.echo(json_text(document), nl=False)


def json_text(document: object) -> str:
    r"""A document, with a line feed at its end.

    Characters that move a cursor or hide are written as `\uXXXX`, because a terminal may show the document.
    """
    import orjson

    text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    return re.sub(r"[^ -~\n]", _escaped, text) + "\n"


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def print_names(what: str, names: Sequence[str], style: str) -> None:
    """Write a list of names, one a line or as a document with the key `what`."""
    if style == "json":
        print_json({what: names})
    else:
        click.echo("\n".join(names))
