"""`dagc explain CODE`: what a diagnostic means, why, and what to write instead."""

from __future__ import annotations

import click

from dagc.cli.printing import USAGE


@click.command()
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Print the page of a diagnostic's CODE, or the list of all codes."""
    from dagc.diag import explain as pages

    if code is None:
        for known in pages.codes():
            click.echo(pages.title(known))
        return
    page = pages.page(code.upper())
    if page is None:
        from dagc.diag.text import escape
        from dagc.units import nearest

        guess = nearest(code.upper(), pages.codes())
        hint = f"; did you mean {guess}?" if guess else ""
        click.echo(f"error: there is no code `{escape(code)}`{hint} (`dagc explain` lists all)", err=True)
        raise SystemExit(USAGE)
    click.echo(page, nl=False)
