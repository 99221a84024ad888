"""`dagc compile`: graph, picture, data, trace and summary of each strategy, into a directory each."""

from __future__ import annotations

import re
from pathlib import Path

import click

from dagc.cli.inputs import Input, plan_arguments, read_input
from dagc.cli.printing import exit_status, print_text
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic


@click.command(name="compile")
@plan_arguments
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Directory to write into, as OUTPUT/PLAN/STRATEGY/.")  # fmt: skip
@click.option("--renderer", metavar="NAME", help="Program that lays out the picture, in place of the built-in one.")
def compile(plan: str | None, expression: str | None, output: Path, renderer: str | None, **blocks: str | None) -> None:
    """Compile every strategy of a plan and write its files."""
    given = read_input(plan, expression, blocks)
    if isinstance(given, Diagnostic):
        print_text((given,))
        raise SystemExit(exit_status((given,)))
    diagnostics = _compile(given, output, renderer)
    print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _compile(given: Input, output: Path, renderer: str | None) -> tuple[Diagnostic, ...]:
    from dagc import driver
    from dagc.export.write import write_atomically
    from dagc.report.text import render_text

    diagnostics: list[Diagnostic] = []
    with progress() as say:
        outcome = driver.check(given.source, given.blocks, given.directory, say)
        diagnostics += outcome.diagnostics
        for checked in outcome.checked:
            say(f"drawing and writing {checked.plan.name}")
            product = driver.export(checked, renderer)
            directory = output / directory_name(given.title) / directory_name(checked.plan.name)
            failures = write_atomically(directory, product.files)
            diagnostics += (*product.diagnostics, *failures)
            click.echo(render_text(product.summary), nl=False)
            if not failures:
                click.echo(f"written to {directory}: {', '.join(product.files)}\n")
    return tuple(diagnostics)


def directory_name(title: str) -> str:
    """A title as the name of a directory: what is not a letter, digit, dot, dash or underscore becomes `_`."""
    return re.sub(r"[^\w.-]", "_", title).lstrip(".") or "plan"
