"""`dagc check`: the diagnostics of a plan, and nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from dagc.cli.inputs import Input, plan_arguments, read_input
from dagc.cli.printing import exit_status, print_concise, print_github, print_json, print_named, print_sarif, print_text
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic

if TYPE_CHECKING:
    from dagc.driver.outcome import Checked

SCHEMA_VERSION = 1


@click.command()
@plan_arguments
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "concise", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="Format of diagnostics: --format github annotates a pull request.",
)
@click.option("--fix", is_flag=True, help="Apply the safe fixes: the file is rewritten, `-` and `-e` are printed.")
@click.option("--unsafe-fixes", is_flag=True, help="Also apply fixes that change the deployment or guess the intent.")
@click.option("--diff", is_flag=True, help="Print the fixes as a diff; write nothing.")
def check(
    plan: str | None,
    expression: str | None,
    style: str,
    fix: bool,
    unsafe_fixes: bool,
    diff: bool,
    **options: str | tuple[str, ...] | None,
) -> None:
    """Check a plan and print its diagnostics."""
    given = read_input(plan, expression, options)
    if isinstance(given, Diagnostic):
        _finish((given,), (), style)
    if fix or unsafe_fixes or diff:
        _fix(given, style, unsafe_fixes, diff)
    from dagc.driver import check as driver

    with progress() as say:
        outcome = driver.check(given.source, given.blocks, given.directory, say, given.levels)
    _finish(outcome.diagnostics, outcome.checked, style)


def _fix(given: Input, style: str, unsafe: bool, diff: bool) -> NoReturn:
    """Fix the plan, and print what is left in it; sizes are not, where standard output holds the plan or a diff."""
    if style != "text" and (diff or given.path is None):
        raise click.UsageError("the fixed plan or the diff is printed: use `--format text`")
    from dagc.cli.inputs import show_diff, write_back
    from dagc.driver import fix as driver

    fixed = driver.fix(given.source, given.blocks, given.directory, given.levels, unsafe)
    failures: tuple[Diagnostic, ...] = ()
    if diff:
        show_diff(given, fixed.text)
    else:
        failures = write_back(given, fixed.text)
    click.echo(f"{fixed.count} fixed", err=True)
    _finish((*fixed.outcome.diagnostics, *failures), () if diff or given.path is None else fixed.outcome.checked, style)


def _finish(diagnostics: tuple[Diagnostic, ...], checked: tuple[Checked, ...], style: str) -> NoReturn:
    match style:
        case "json":
            _print_json(diagnostics, checked)
        case "sarif":
            print_sarif(diagnostics)
        case "github":
            print_github(diagnostics)
        case "concise":
            print_concise(diagnostics)
        case _:
            _print_sizes(checked)
            print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _print_sizes(checked: tuple[Checked, ...]) -> None:
    from dagc.results.facts import assumed, facts_of

    defaults = assumed(facts_of(checked[0].plan.facts)) if checked else None
    if defaults:
        click.echo(f"defaults: {defaults}")
    print_named(checked[0].plan.facts.named if checked else ())
    for checked_plan in checked:
        for line in checked_plan.plan.deployment.derivation:
            click.echo(f"{checked_plan.plan.name}: {line}")


def _print_json(diagnostics: tuple[Diagnostic, ...], checked: tuple[Checked, ...]) -> None:
    from dagc.diag.jsonout import to_json

    document = {
        "schema_version": SCHEMA_VERSION,
        "diagnostics": [to_json(d) for d in diagnostics],
        "strategies": [checked_plan.structure for checked_plan in checked],
    }
    print_json(document)
