"""`dagc explain TOPIC`: what a diagnostic's code means and what to write instead, or what a term means."""

from __future__ import annotations

from typing import NoReturn

import click

from dagc.cli import completing
from dagc.cli.printing import USAGE


@click.command()
@click.argument("topic", nargs=-1, shell_complete=completing.topics)
def explain(topic: tuple[str, ...]) -> None:
    """Print the page of a diagnostic's code or of a term, or the list of all codes and terms.

    For example: dagc explain D203, dagc explain TPOT, dagc explain critical path.
    """
    from dagc.diag import explain as pages
    from dagc.diag import glossary

    if not topic:
        for known in pages.codes():
            click.echo(pages.title(known))
        click.echo(f"\nterms: {', '.join(glossary.names())}")
        return
    word = " ".join(topic)
    entry = glossary.find(word)
    page = pages.page(word) or (entry.text if entry else None)
    if page is None:
        _refuse(word)
    click.echo(page, nl=False)


def _refuse(word: str) -> NoReturn:
    from dagc.diag import explain as pages
    from dagc.diag import glossary
    from dagc.diag.text import escape
    from dagc.units import nearest

    code = nearest(word.upper(), pages.codes())
    guesses = (code,) if code else glossary.near(word)
    hint = f"; did you mean {' or '.join(guesses)}?" if guesses else ""
    click.echo(f"error: there is no code or term `{escape(word)}`{hint} (`dagc explain` lists all)", err=True)
    raise SystemExit(USAGE)
