"""How the commands print diagnostics, and the exit status that follows from them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from dagc.diag.diagnostic import Diagnostic, Family

CLEAN, ERRORS, USAGE = 0, 1, 2
"""Exit statuses: clean or warnings only; errors in the plan; a usage error or a file that cannot be had."""


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


def print_concise(diagnostics: Sequence[Diagnostic]) -> None:
    """Write one line a diagnostic to standard output."""
    from dagc.diag.concise import render

    if diagnostics:
        click.echo(render(diagnostics))


def tally(diagnostics: Sequence[Diagnostic]) -> str:
    """E.g. `2 errors, 1 warning`."""
    errors = sum(d.is_error for d in diagnostics)
    counts = ((errors, "error"), (len(diagnostics) - errors, "warning"))
    return ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)


def use_color() -> bool:
    """Colour on a terminal, unless NO_COLOR says otherwise."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
