"""`dagc validate`: measured cases beside what the cost model says of them."""

from __future__ import annotations

import click

from dagc.cli.printing import print_json, text_or_json


@click.command()
@click.argument("kind", required=False)
@text_or_json
def validate(kind: str | None, style: str) -> None:
    """Predict the measured cases, or those of one KIND, and print the errors."""
    from dagc.catalog.cases import kinds

    if kind is not None and kind not in kinds():
        raise click.BadParameter(f"`{kind}` is not one of {', '.join(kinds())}", param_hint="KIND")
    from dagc import driver
    from dagc.report.ledger import document, render_text

    entries = driver.validate(kind)
    if style == "json":
        print_json(document(entries))
    else:
        click.echo(render_text(entries), nl=False)
