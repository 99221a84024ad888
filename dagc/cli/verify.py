"""`dagc verify`: a result of a search is checked again, by none of the code that made it."""

from __future__ import annotations

from pathlib import Path

import click

from dagc.cli.inputs import read_result
from dagc.cli.printing import exit_status, finish, print_text
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic


@click.command()
@click.argument("result", type=click.Path(path_type=Path, dir_okay=False))
def verify(result: Path) -> None:
    """Check a `search.json` again: counts, sizes, figures by compiling them, and bounds against the best."""
    source = read_result(result)
    if isinstance(source, Diagnostic):
        finish((source,))
    from dagc.driver import verify as driver

    with progress() as say:
        say("compiling strategies")
        found = driver.verify(source, result.parent)
    print_text(found.diagnostics)
    if not found.diagnostics:
        click.echo(f"{found.strategies:,} strategies compiled; counts, sizes, figures and bounds hold")
    raise SystemExit(exit_status(found.diagnostics))
