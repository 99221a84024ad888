"""`dagc check`: the diagnostics of a plan, and nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from dagc.cli.inputs import plan_arguments, read_input
from dagc.cli.printing import exit_status, print_concise, print_json, print_text
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic

if TYPE_CHECKING:
    from dagc.driver import Checked

SCHEMA_VERSION = 1


@click.command()
@plan_arguments
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "concise", "json"]),
    default="text",
    show_default=True,
    help="How diagnostics are printed.",
)
def check(plan: str | None, expression: str | None, style: str, **options: str | tuple[str, ...] | None) -> None:
    """Check a plan and print its diagnostics."""
    given = read_input(plan, expression, options)
    if isinstance(given, Diagnostic):
        _finish((given,), (), style)
    from dagc import driver

    with progress() as say:
        outcome = driver.check(given.source, given.blocks, given.directory, say, given.levels)
    _finish(outcome.diagnostics, outcome.checked, style)


def _finish(diagnostics: tuple[Diagnostic, ...], checked: tuple[Checked, ...], style: str) -> NoReturn:
    if style == "json":
        _print_json(diagnostics, checked)
    elif style == "concise":
        print_concise(diagnostics)
    else:
        _print_sizes(checked)
        print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _print_sizes(checked: tuple[Checked, ...]) -> None:
    from dagc.report.facts import assumed, facts_data

    defaults = assumed(facts_data(checked[0].plan.facts)) if checked else None
    if defaults:
        click.echo(f"not stated, so {defaults}")
    for one in checked:
        for line in one.plan.deployment.derivation:
            click.echo(f"{one.plan.name}: {line}")


def _print_json(diagnostics: tuple[Diagnostic, ...], checked: tuple[Checked, ...]) -> None:
    from dagc.diag.jsonout import to_json

    document = {
        "schema_version": SCHEMA_VERSION,
        "diagnostics": [to_json(d) for d in diagnostics],
        "strategies": [one.structure for one in checked],
    }
    print_json(document)
