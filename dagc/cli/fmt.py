"""`dagc fmt`: a plan in canonical text."""

from __future__ import annotations

import click

from dagc.cli import completing
from dagc.cli.inputs import required_input, write_back
from dagc.cli.printing import CLEAN, ERRORS, finish
from dagc.diag.text import escape


@click.command()
@click.argument("plan", required=False, metavar="[PLAN]", shell_complete=completing.files)
@click.option("-e", "expression", metavar="STRATEGY", help="A strategy in place of a file: -e 'ep 16 ; tp 2'.")
@click.option("--check", "check_only", is_flag=True, help="Write nothing; exit 1 when the text would change.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the text instead of rewriting the file.")
def fmt(plan: str | None, expression: str | None, check_only: bool, to_stdout: bool) -> None:
    """Rewrite a plan file in canonical text; `-` and `-e` print it."""
    given = required_input(plan, expression, {})
    from dagc.syntax.parser import parse
    from dagc.syntax.printer import format_plan

    parsed = parse(given.source)
    if parsed.file is None or any(d.is_error for d in parsed.diagnostics):
        finish(parsed.diagnostics)
    text = format_plan(parsed.file)
    if check_only:
        if text != given.source.text:
            click.echo(f"would rewrite {escape(given.source.name)}", err=True)
        raise SystemExit(CLEAN if text == given.source.text else ERRORS)
    if to_stdout:
        click.echo(text, nl=False)
    else:
        finish(write_back(given, text))
