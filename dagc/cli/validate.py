"""`dagc validate`: measured cases beside what the cost model says of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli import completing
from dagc.cli.printing import exit_status, print_json, print_text, text_or_json

if TYPE_CHECKING:
    from dagc.diag.diagnostic import Diagnostic
    from dagc.results.ledger import LedgerEntry


@click.command()
@click.argument("kind", required=False, shell_complete=completing.kinds)
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own cases (CSV) in place of the published ones: --cases measured.csv.",
)
@text_or_json
def validate(kind: str | None, cases: Path | None, style: str) -> None:
    """Predict the measured cases, or those of one KIND, and print the errors."""
    from dagc.export.text.ledger import render_text
    from dagc.results.ledger import ledger_of

    entries, diagnostics = _own(cases) if cases else (_cited(kind), ())
    if kind is not None:
        entries = tuple(entry for entry in entries if entry.case.kind == kind)
    if style == "json":
        print_json(ledger_of(entries))
    elif entries:
        click.echo(render_text(entries), nl=False)
    print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _cited(kind: str | None) -> tuple[LedgerEntry, ...]:
    from dagc.catalog.cases import kinds

    if kind is not None and kind not in kinds():
        raise click.BadParameter(f"`{kind}` is not one of {', '.join(kinds())}", param_hint="KIND")
    from dagc.driver import validate as driver

    return driver.validate(kind)


def _own(path: Path) -> tuple[tuple[LedgerEntry, ...], tuple[Diagnostic, ...]]:
    from dagc.cli.inputs import read_text
    from dagc.diag.diagnostic import Diagnostic
    from dagc.driver import validate as driver
    from dagc.source import Source

    text = read_text(path)
    return ((), (text,)) if isinstance(text, Diagnostic) else driver.validate_own(Source(str(path), text))
