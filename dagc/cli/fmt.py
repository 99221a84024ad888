"""`dagc fmt`: a plan in canonical text."""

from __future__ import annotations

from typing import NoReturn

import click

from dagc.cli import completing
from dagc.cli.fixes import write_back
from dagc.cli.inputs import read_input
from dagc.cli.printing import CLEAN, ERRORS, exit_status, print_text
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import escape


@click.command()
@click.argument("plan", required=False, metavar="[PLAN]", shell_complete=completing.files)
@click.option("-e", "expression", metavar="STRATEGY", help="A strategy in place of a file: -e 'ep 16 ; tp 2'.")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; exit 1 when the text would change.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the text instead of rewriting the file.")
def fmt(plan: str | None, expression: str | None, check_only: bool, to_stdout: bool) -> None:
    """Rewrite a plan file in canonical text; `-` and `-e` print it."""
    given = read_input(plan, expression, {})
    if isinstance(given, Diagnostic):
        _stop((given,))
    from dagc.syntax.parser import parse
    from dagc.syntax.printer import format_plan

    parsed = parse(given.source)
    if parsed.file is None or any(d.is_error for d in parsed.diagnostics):
        _stop(parsed.diagnostics)
    text = format_plan(parsed.file)
    if check_only:
        if text != given.source.text:
            click.echo(f"would rewrite {escape(given.source.name)}", err=True)
        raise SystemExit(CLEAN if text == given.source.text else ERRORS)
    if to_stdout:
        click.echo(text, nl=False)
    else:
        _stop(write_back(given, text))


def _stop(diagnostics: tuple[Diagnostic, ...]) -> NoReturn:
    print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))
