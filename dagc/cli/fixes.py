"""What `dagc check --fix` does with a fixed text: writes it back, prints it, or shows it as a diff."""

from __future__ import annotations

import difflib

import click

from dagc.cli.inputs import Input
from dagc.diag.diagnostic import Diagnostic


def show_diff(given: Input, text: str) -> None:
    """Print the change as a unified diff; nothing where there is none."""
    name = given.source.name
    before, after = (part.splitlines(keepends=True) for part in (given.source.text, text))
    for line in difflib.unified_diff(before, after, name, name):
        end = "" if line.endswith("\n") else "\n\\ No newline at end of file\n"
        click.echo(f"{line}{end}", nl=False)


def write_back(given: Input, text: str) -> tuple[Diagnostic, ...]:
    """Rewrite the plan's file whole or not at all, in its own line ends; what came from elsewhere is printed."""
    if given.path is None:
        click.echo(text, nl=not text.endswith("\n"))
        return ()
    if text == given.source.text:
        return ()
    from dagc.export.write import write_file

    return write_file(given.path, _encoded(text, given.path.read_bytes()))


def _encoded(text: str, original: bytes) -> bytes:
    """The text as the file had it: with its byte order mark and its line ends."""
    mark = b"\xef\xbb\xbf" if original.startswith(b"\xef\xbb\xbf") else b""
    has_returns = 0 < original.count(b"\r\n") == original.count(b"\n")
    return mark + (text.replace("\n", "\r\n") if has_returns else text).encode()
